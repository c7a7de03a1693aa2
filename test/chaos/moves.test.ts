import { expect } from 'vitest';
import { expectMoved, expectNotMoved } from './afterMoves.js';
import { crashSuite } from './crashSuite.js';
import { MOVES } from './moves.js';
import { expectDone, MAXMEMORY } from './sound.js';

await crashSuite(
  { servers: 2, databasesPerServer: 8, maxmemory: MAXMEMORY, name: 'moves' },
  MOVES,
  ({ update }, outcome) => {
    if (update === undefined) {
      expectDone(outcome);
      expect(outcome.result).toMatchObject({ leaderForks: 0 });
      expectMoved(outcome);
    } else {
      expect(outcome.ended).toBe('RunbookAborted');
      expectNotMoved(outcome, { followerForks: 1 });
    }
  },
);
