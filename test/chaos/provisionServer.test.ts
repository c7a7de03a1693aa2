import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { PROVISIONING } from './provisioning.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

await crashSuite(
  { servers: 4, databasesPerServer: 1, maxmemory: MAXMEMORY, name: 'crash' },
  [PROVISIONING],
  (_, outcome) => {
    expectDone(outcome);
    expect(outcome.result?.leaderForks).toBe(0);
    expectSound(outcome, { leader: 0, follower: 0 });
    expect(outcome.end.record).toMatchObject({ epochs: 1, leader: 'leader', follower: 'follower' });
  },
);
