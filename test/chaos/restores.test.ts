import { expect } from 'vitest';
import { crashSuite } from './crashSuite.js';
import { RESTORES } from './restores.js';
import { expectDone, expectSound, MAXMEMORY } from './sound.js';

/** The new pair leads and follows where the old one does, with what was in the backup. */
const BESIDE = {
  epoch: 1,
  leader: 'leader',
  follower: 'follower',
  isOwned: false,
  roles: ['leader', 'follower'],
  holdTheSame: true,
  isEmpty: false,
  fetched: [],
};

await crashSuite(
  { servers: 2, databasesPerServer: 8, maxmemory: MAXMEMORY, name: 'crash' },
  RESTORES,
  ({ name, type, update }, outcome) => {
    if (update === undefined) expectDone(outcome);
    else expect(outcome.ended).toBe('RunbookAborted');
    // Whatever happened, both run, and nobody forked but the follower for its backups before.
    expectSound(outcome, { leader: 0, follower: 0 });
    expect(outcome.end.record).toMatchObject({
      epochs: name === 'restoreDatabase of what is lost' ? 1 : 0,
      leader: 'leader',
      follower: 'follower',
      extraFollowers: [],
    });
    const isBeside = name === 'restoreDatabase as a new database beside';
    if (isBeside) expect(outcome.besides).toEqual(BESIDE);
    for (const { files } of Object.values(outcome.end.parts)) {
      if (type === 'restoreDatabase' && !isBeside) expect(files).toContain('dump.rdb');
      expect(files).not.toContain('dump.rdb.previous');
    }
  },
);
