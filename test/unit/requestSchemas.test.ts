import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import type * as z from 'zod';
import { FleetError } from '../../src/fleet/errors.js';
import { WORKFLOW_TYPES } from '../../src/fleet/names.js';
import type {
  BringUpFollowerRequest,
  DrillBackupsRequest,
  MoveDatabaseRequest,
  PromoteFollowerRequest,
  PauseWritesRequest,
  ProvisionServerRequest,
  RelocateDatabasesRequest,
  RestoreDatabaseRequest,
  SwitchoverRequest,
  WatchServerRequest,
} from '../../src/fleet/requests.js';
import { parseRequest } from '../../src/fleet/requestSchemas.js';
import type { requestSchemas } from '../../src/fleet/requestSchemas.js';

/** null: it is accepted. */
function refusal(type: (typeof WORKFLOW_TYPES)[number], input: unknown): string | null {
  try {
    parseRequest(type, input);
    return null;
  } catch (error) {
    if (error instanceof FleetError && error.kind === 'InvalidRequest') return error.message;
    throw error;
  }
}

function refused(type: (typeof WORKFLOW_TYPES)[number], input: unknown): string {
  const why = refusal(type, input);
  if (why === null) throw new Error('It was accepted.');
  return why;
}

describe('a request', () => {
  test('has the fields of its interface, no more and no less', () => {
    type Schemas = typeof requestSchemas;
    expectTypeOf<z.output<Schemas['provisionServer']>>().branded.toEqualTypeOf<ProvisionServerRequest>();
    expectTypeOf<z.output<Schemas['bringUpFollower']>>().branded.toEqualTypeOf<BringUpFollowerRequest>();
    expectTypeOf<z.output<Schemas['switchover']>>().branded.toEqualTypeOf<SwitchoverRequest>();
    expectTypeOf<z.output<Schemas['promoteFollower']>>().branded.toEqualTypeOf<PromoteFollowerRequest>();
    expectTypeOf<z.output<Schemas['moveDatabase']>>().branded.toEqualTypeOf<MoveDatabaseRequest>();
    expectTypeOf<z.output<Schemas['pauseWrites']>>().branded.toEqualTypeOf<PauseWritesRequest>();
    expectTypeOf<z.output<Schemas['relocateDatabases']>>().branded.toEqualTypeOf<RelocateDatabasesRequest>();
    expectTypeOf<z.output<Schemas['watchServer']>>().branded.toEqualTypeOf<WatchServerRequest>();
    expectTypeOf<z.output<Schemas['drillBackups']>>().branded.toEqualTypeOf<DrillBackupsRequest>();
    expectTypeOf<z.output<Schemas['restoreDatabase']>>().branded.toEqualTypeOf<RestoreDatabaseRequest>();
    expect(WORKFLOW_TYPES).toContain('provisionServer');
  });

  test('that is right comes back as it was', () => {
    const whole = {
      database: 'sessions-03',
      host: 'redis-02-b',
      backup: { file: '/backups/sessions-03.rdb' },
      way: 'backup',
      approved: { 'synchronise from the leader': { by: 'ann', reason: 'night, no load' } },
    };
    expect(parseRequest('bringUpFollower', whole)).toEqual(whole);
    expect(parseRequest('provisionServer', { server: 'redis-01' })).toEqual({ server: 'redis-01' });
  });

  test('for a restore says from what, and to where', () => {
    const whole = {
      database: 'sessions-03',
      from: { asOf: '2026-11-23T12:00:00Z' },
      into: { database: 'sessions-03-restored', server: 'redis-02', port: 6400 },
      dryRun: true,
    };
    expect(parseRequest('restoreDatabase', whole)).toEqual(whole);
    expect(parseRequest('restoreDatabase', { database: 'a', from: 'newest', into: 'in-place' })).toEqual({
      database: 'a',
      from: 'newest',
      into: 'in-place',
    });
    expect(refused('restoreDatabase', { database: 'a', from: { asOf: 'yesterday' } })).toContain(
      'from.asOf: this is not a time, write one like 2026-01-31T12:00:00Z',
    );
    expect(refused('restoreDatabase', { database: 'a', into: 'there' })).toContain(
      'into: this is neither "in-place" nor {"database":',
    );
  });

  test('for a move says where to, as a server or as two hosts', () => {
    const whole = {
      database: 'sessions-03',
      to: { leader: 'redis-02-a', follower: 'redis-02-b' },
      port: 6403,
      bandwidth: 50_000_000,
      pauseWrites: { seconds: 10 },
      expectedLeader: 'redis-01-a',
    };
    expect(parseRequest('moveDatabase', whole)).toEqual(whole);
    expect(parseRequest('moveDatabase', { database: 'a', to: { server: 'redis-02' } })).toEqual({
      database: 'a',
      to: { server: 'redis-02' },
    });
    expect(parseRequest('moveDatabase', { database: 'a', to: { server: 'b', leader: 'c' } })).toEqual({
      database: 'a',
      to: { server: 'b', leader: 'c' },
    });
    const neither =
      'to: this is neither {"server":"redis-02"} nor {"leader":"redis-02-a","follower":"redis-02-b"}';
    expect(refused('moveDatabase', { database: 'a', to: { leader: 'b' } })).toContain(neither);
    expect(refused('moveDatabase', { database: 'a', to: 'redis-02' })).toContain(neither);
    expect(refused('moveDatabase', { database: 'a', to: { leader: 'b', follower: 'b' } })).toContain(
      'to: leader and follower are the same host',
    );
    expect(refused('moveDatabase', { database: 'a' })).toContain('to: ');
    expect(refused('moveDatabase', { database: 'a', to: { server: 'b' }, bandwidth: 5 })).toContain(
      'bandwidth: this is not a whole number of bytes a second, of at least 1048576',
    );
  });

  test('for a pause of writes bounds it', () => {
    const whole = { database: 'sessions-03', seconds: 60, fork: 'follower' };
    expect(parseRequest('pauseWrites', whole)).toEqual(whole);
    expect(parseRequest('pauseWrites', { host: 'redis-01-a' })).toEqual({ host: 'redis-01-a' });
    expect(refused('pauseWrites', { ...whole, seconds: 61 })).toContain(
      'seconds: this is not a whole number of seconds from 1 to 60',
    );
    expect(refused('pauseWrites', { ...whole, host: 'redis-01-a' })).toContain('write only one of them');
    expect(refused('pauseWrites', { database: 'a', fork: 'twice' })).toContain('fork: "twice" is not one of');
    expect(refused('bringUpFollower', { database: 'a', pauseWrites: { seconds: 0.5 } })).toContain(
      'pauseWrites.seconds: this is not a whole number of seconds',
    );
    expect(refused('bringUpFollower', { database: 'a', pauseWrites: { secs: 5 } })).toContain(
      'pauseWrites.secs: there is no such field, the fields are seconds',
    );
  });

  test('for a relocation says of which host, or that all shall be even', () => {
    const whole = { host: 'redis-01-a', dryRun: true, withoutAskingBelow: 600, horizon: 3_600, atOnce: 2 };
    expect(parseRequest('relocateDatabases', whole)).toEqual(whole);
    expect(parseRequest('relocateDatabases', { drain: 'redis-01-a' })).toEqual({ drain: 'redis-01-a' });
    expect(parseRequest('relocateDatabases', { rebalance: true })).toEqual({ rebalance: true });
    expect(refused('relocateDatabases', {})).toContain('host: this is missing, write it, or one of drain');
    expect(refused('relocateDatabases', { host: 'a', drain: 'b' })).toContain('there is host and drain');
    expect(refused('relocateDatabases', { host: 'a', atOnce: 0 })).toContain('atOnce: this is not a whole');
  });

  test('names its databases in exactly one way', () => {
    expect(parseRequest('switchover', { host: 'redis-01-a' })).toEqual({ host: 'redis-01-a' });
    expect(parseRequest('promoteFollower', { zone: 'az-a' })).toEqual({ zone: 'az-a' });
    expect(refused('switchover', {})).toContain(
      'database: this is missing, write it, or one of databases, host',
    );
    expect(refused('switchover', { database: 'a', host: 'b' })).toContain(
      'host: there is database and host, write only one of them',
    );
    expect(refused('promoteFollower', { databases: [] })).toContain('databases: this is an empty list');
    expect(refused('promoteFollower', { databases: ['a', 'a'] })).toContain(
      'the same name stands there twice',
    );
    expect(refused('switchover', { zone: 'az-a' })).toContain('zone: there is no such field');
  });

  test.each([
    ['bringUpFollower', {}, 'database: this is missing, write a string'],
    ['bringUpFollower', { databse: 'a' }, 'databse: there is no such field, write database instead'],
    ['bringUpFollower', { database: 7 }, 'database: 7 is not right, write a string'],
    ['bringUpFollower', { database: 'Sessions 3' }, 'write sessions-3 instead'],
    [
      'bringUpFollower',
      { database: 'a', way: 'fast' },
      'way: "fast" is not one of own-files, backup, chain, full',
    ],
    [
      'bringUpFollower',
      { database: 'a', backup: { file: 'x' } },
      'backup.file: this is not an absolute path',
    ],
    ['bringUpFollower', { database: 'a', backup: {} }, 'backup.file: this is missing'],
    [
      'bringUpFollower',
      { database: 'a', approved: { x: { by: 'ann' } } },
      'approved.x.reason: this is missing',
    ],
    [
      'bringUpFollower',
      { database: 'a', approved: { x: { by: ' ', reason: 'r' } } },
      'approved.x.by: this is empty',
    ],
    ['bringUpFollower', { database: 'a', force: true }, 'force: there is no such field'],
    ['provisionServer', { server: null }, 'server: nothing is not right'],
    [
      'provisionServer',
      undefined,
      'takes one JSON object, not nothing: write for example {"server":"redis-01"}',
    ],
    ['provisionServer', [{ server: 'a' }], 'takes one JSON object, not a list'],
    ['provisionServer', '{"server":"redis-01"}', 'takes one JSON object, not "{'],
  ] as const)('%s of %j is refused, and the field is named', (type, input, says) => {
    expect(refused(type, input)).toContain(says);
    expect(refused(type, input)).toContain('Nothing was done.');
  });

  test('of any JSON is taken or refused with a sentence, never a crash', () => {
    fc.assert(
      fc.property(fc.constantFrom(...WORKFLOW_TYPES), fc.jsonValue(), (type, input) => {
        expect(refusal(type, input) ?? 'It is taken.').toMatch(/\.$/);
      }),
    );
  });
});
