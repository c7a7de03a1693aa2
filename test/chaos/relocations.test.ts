import { expect } from 'vitest';
import { expectMoved, expectNotMoved } from './afterMoves.js';
import { crashSuite } from './crashSuite.js';
import { ABORTED_UNDER_WAY, firstOnes, RELOCATIONS } from './relocations.js';
import { expectDone, MAXMEMORY } from './sound.js';

// A server for each case, and one to move to: what a kill costs is mostly the wait for a timeout.
await crashSuite(
  { servers: 6, databasesPerServer: 2, maxmemory: MAXMEMORY, name: 'drains', on: firstOnes },
  RELOCATIONS,
  ({ name, update }, outcome) => {
    const [second] = outcome.others;
    if (second === undefined) throw new Error('Two databases were to move.');
    if (update === undefined) {
      expectDone(outcome);
      expect(outcome.besides).toEqual({
        moved: ['the first', 'the second'],
        leaderForks: [0, 0],
        failed: [],
        after: 'safe already',
      });
      expectMoved(outcome);
      expectMoved({ end: second });
      return;
    }
    expect(outcome.ended).toBe('RunbookAborted');
    // No other move is begun.
    expectNotMoved({ end: second });
    if (name === ABORTED_UNDER_WAY) {
      // The one that had begun ends as it would alone.
      expectMoved(outcome);
      expect(outcome.besides).toMatchObject({
        said: [
          'The move of the first goes on by itself, and ends as it would alone. ' +
            'See it, or abort it: redis-fleet runbook show moveDatabase/the first',
        ],
      });
    } else {
      expectNotMoved(outcome);
      expect(outcome.besides).toMatchObject({ said: [] });
    }
  },
);
