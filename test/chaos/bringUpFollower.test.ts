import { expect } from 'vitest';
import { BRING_UPS, SMALL_BACKLOG } from './bringUpWays.js';
import { crashSuite } from './crashSuite.js';
import type { Outcome } from './procedure.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

const EXPECTED: Readonly<Record<string, (outcome: Outcome) => void>> = {
  'bringUpFollower from its own files': (outcome) => expectBroughtUp(outcome, 'own-files'),
  'bringUpFollower while its process runs': (outcome) => expectBroughtUp(outcome, 'own-files'),
  'bringUpFollower from a backup': (outcome) => expectBroughtUp(outcome, 'backup'),
  'bringUpFollower from the store': (outcome) => {
    expectBroughtUp(outcome, 'backup');
    expect(outcome.besides).toEqual({ fetched: false });
  },
  'bringUpFollower by a full synchronisation': (outcome) => expectBroughtUp(outcome, 'full', 1),

  'bringUpFollower by chain': (outcome) => {
    expectDone(outcome);
    expect(outcome.result).toEqual({ way: 'chain', leaderForks: 0 });
    // The fork is on the follower that gave its data, and there is one only.
    expectSound(outcome, { leader: 0, follower: 1, third: 0 });
    expect(outcome.end.record).toMatchObject({ follower: 'follower', extraFollowers: ['third'] });
  },

  'bringUpFollower aborted while it waits for approval': (outcome) => {
    expect(outcome.ended).toBe('RunbookAborted');
    expectSound(outcome, { leader: 0 }, { backlogBytes: SMALL_BACKLOG });
    expect(outcome.end.record).toMatchObject({ follower: 'follower', extraFollowers: [] });
    const { files } = outcome.end.parts['follower'] ?? {};
    expect(files).toContain('dump.rdb');
    expect(files).not.toContain('dump.rdb.previous');
  },
};

function expectBroughtUp(outcome: Outcome, way: string, leaderForks = 0): void {
  expectDone(outcome);
  expect(outcome.result).toEqual({ way, leaderForks });
  expectSound(outcome, { leader: leaderForks, follower: 0 });
  expect(outcome.end.record).toMatchObject({
    epochs: 0,
    leader: 'leader',
    follower: 'follower',
    extraFollowers: [],
  });
}

await crashSuite(
  { servers: 2, databasesPerServer: 8, maxmemory: MAXMEMORY, name: 'crash' },
  BRING_UPS,
  ({ name }, outcome) => {
    const expectIt = EXPECTED[name];
    if (expectIt === undefined) throw new Error(`What "${name}" should leave behind is not written down.`);
    expectIt(outcome);
  },
);
