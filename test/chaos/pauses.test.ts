import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { PAUSES } from './pauses.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

await crashSuite(
  { servers: 3, databasesPerServer: 3, maxmemory: MAXMEMORY, name: 'crash' },
  PAUSES,
  ({ update }, outcome) => {
    if (update === undefined) expectDone(outcome);
    else expect(outcome.ended).toBe('RunbookAborted');
    expectSound(outcome, { leader: update === undefined ? 1 : 0, follower: 0 });
    expect(outcome.end.record).toMatchObject({ epochs: 0, leader: 'leader', follower: 'follower' });
  },
);
