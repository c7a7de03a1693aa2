import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { RELOCATIONS } from './relocations.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

// A server for each case of a wave, and one to move to.
await crashSuite(
  { servers: 6, databasesPerServer: 1, maxmemory: MAXMEMORY, name: 'drains' },
  RELOCATIONS,
  ({ update }, outcome) => {
    const { record, parts } = outcome.end;
    if (update === undefined) {
      expectDone(outcome);
      expect(outcome.besides).toEqual({ moved: 1, leaderForks: [0], failed: [], after: 'safe already' });
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
      expectSound(outcome, { leader: 0, follower: 0 });
      expect(record).toMatchObject({ epochs: 0, leader: 'leader', follower: 'follower', extraFollowers: [] });
      expect([parts['newLeader']?.files, parts['newFollower']?.files]).toEqual([null, null]);
    }
  },
);
