import { expect } from 'vitest';
import { CHANGES_OF_LEADER } from './changesOfLeader.js';
import { crashSuite } from './crashSuite.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

await crashSuite(
  { servers: 2, databasesPerServer: 8, maxmemory: MAXMEMORY, name: 'crash' },
  CHANGES_OF_LEADER,
  ({ type }, outcome) => {
    expectDone(outcome);
    if (type === 'switchover') {
      expectSound(outcome, { leader: 0, follower: 0 }, { leads: 'follower' });
      expect(outcome.end.record).toMatchObject({
        leader: 'follower',
        follower: 'leader',
        extraFollowers: [],
      });
    } else {
      expectSound(outcome, { follower: 0 }, { leads: 'follower' });
      expect(outcome.end.record).toMatchObject({
        epochs: 1,
        leader: 'follower',
        follower: null,
        extraFollowers: [],
      });
    }
  },
);
