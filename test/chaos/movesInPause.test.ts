import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { CRAMPED_FLEET, MOVES_IN_PAUSE } from './movesInPause.js';
import { expectDone, expectSound } from './sound.js';

await crashSuite(CRAMPED_FLEET, MOVES_IN_PAUSE, (_, outcome) => {
  expectDone(outcome);
  expect(outcome.steps).toContain('copy while writes wait: done');
  expect(outcome.result).toMatchObject({ leaderForks: 0 });
  // One for the copy; none of a leader.
  expectSound(outcome, { newLeader: 0, follower: 1 }, { leads: 'newLeader' });
  expect(outcome.end.record).toMatchObject({
    epochs: 1,
    leader: 'newLeader',
    follower: 'follower',
    extraFollowers: [],
  });
  expect(outcome.end.parts['leader']?.files).toBeNull();
});
