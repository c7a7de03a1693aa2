import { expect } from 'vitest';
import { BACKUPS } from './backups.js';
import { crashSuite } from './crashSuite.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

// A server for each: a sweep takes all that follow on a host.
await crashSuite(
  { servers: 3, databasesPerServer: 1, maxmemory: MAXMEMORY, name: 'crash' },
  BACKUPS,
  (_procedure, outcome) => {
    expectDone(outcome);
    expectSound(outcome, { leader: 0, follower: 1 });
    expect(outcome.end.record).toMatchObject({ epochs: 0, leader: 'leader', follower: 'follower' });
    expect(outcome.besides).toEqual({ some: true, unverified: 0, newestIsOnRecord: true });
  },
);
