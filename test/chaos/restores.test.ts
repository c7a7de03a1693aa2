import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { RESTORES } from './restores.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

await crashSuite(
  { servers: 2, databasesPerServer: 8, maxmemory: MAXMEMORY, name: 'crash' },
  RESTORES,
  ({ type, update }, outcome) => {
    if (update === undefined) expectDone(outcome);
    else expect(outcome.ended).toBe('RunbookAborted');
    // Whatever happened, both run, and nobody forked but the follower for its backups before.
    expectSound(outcome, { leader: 0, follower: 0 });
    expect(outcome.end.record).toMatchObject({
      epochs: type === 'restoreDatabase' && update === undefined ? 1 : 0,
      leader: 'leader',
      follower: 'follower',
      extraFollowers: [],
    });
    for (const { files } of Object.values(outcome.end.parts)) {
      if (type === 'restoreDatabase') expect(files).toContain('dump.rdb');
      expect(files).not.toContain('dump.rdb.previous');
    }
  },
);
