import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { MOVES } from './moves.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

await crashSuite(
  { servers: 2, databasesPerServer: 8, maxmemory: MAXMEMORY, name: 'moves' },
  MOVES,
  ({ update }, outcome) => {
    const { record, parts } = outcome.end;
    if (update === undefined) {
      expectDone(outcome);
      expect(outcome.result).toMatchObject({ leaderForks: 0 });
      expectSound(outcome, { newLeader: 0, newFollower: 0 }, { leads: 'newLeader' });
      expect(record).toMatchObject({
        epochs: 1,
        leader: 'newLeader',
        follower: 'newFollower',
        extraFollowers: [],
      });
      expect([parts['leader']?.files, parts['follower']?.files]).toEqual([null, null]);
    } else {
      expect(outcome.ended).toBe('RunbookAborted');
      expectSound(outcome, { leader: 0, follower: 1 });
      expect(record).toMatchObject({
        epochs: 0,
        leader: 'leader',
        follower: 'follower',
        extraFollowers: [],
      });
      expect([parts['newLeader']?.files, parts['newFollower']?.files]).toEqual([null, null]);
    }
  },
);
