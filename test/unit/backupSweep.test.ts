/** Which databases a sweep takes, in which order, and which followers may be made to fork. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planSweep, unfitToSave, whereabouts } from '../../src/fleet/backupSweep.js';
import type { ProcessFacts } from '../../src/fleet/facts.js';
import { DEFAULT_BACKUPS } from '../../src/fleet/fleet.js';
import { freshnessOf, overdueText } from '../../src/fleet/freshness.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { PAUSED_BY_FILE, planSchedules, schedulesOf } from '../../src/fleet/schedules.js';
import type { KnownSchedule } from '../../src/fleet/schedules.js';
import { fleetOf } from './fleetText.js';

const A: Endpoint = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
const B: Endpoint = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };

function recordOf(database: string, change: Partial<DatabaseRecord> = {}): DatabaseRecord {
  return {
    database,
    server: 'redis-01',
    epoch: 1,
    leader: A,
    follower: B,
    updatedAt: '2026-11-23T00:00:00.000Z',
    updatedBy: 'test',
    ...change,
  };
}

const anyRecord = fc
  .record({
    number: fc.nat({ max: 30 }),
    epoch: fc.nat({ max: 3 }),
    swapped: fc.boolean(),
    alone: fc.boolean(),
  })
  .map(({ number, epoch, swapped, alone }) =>
    recordOf(`sessions-${String(number).padStart(2, '0')}`, {
      epoch,
      leader: swapped ? B : A,
      follower: alone ? null : swapped ? A : B,
    }),
  );
const anyRecords = fc.uniqueArray(anyRecord, { selector: ({ database }) => database });
const anyBackups = fc.uniqueArray(
  fc.record({
    database: fc.nat({ max: 30 }).map((number) => `sessions-${String(number).padStart(2, '0')}`),
    at: fc.nat({ max: 1e6 }).map((seconds) => new Date(seconds * 1_000).toISOString()),
  }),
  { selector: ({ database }) => database },
);

describe('a sweep of a host', () => {
  test('takes exactly those that follow there, whoever waits longest first', () => {
    fc.assert(
      fc.property(anyRecords, anyBackups, (records, backups) => {
        const { databases, withoutFollower } = planSweep(B.host, records, backups);
        const wanted = records.filter(({ epoch, follower }) => epoch > 0 && follower?.host === B.host);
        expect(new Set(databases)).toEqual(new Set(wanted.map(({ database }) => database)));
        const at = (name: string): number =>
          Date.parse(backups.find(({ database }) => database === name)?.at ?? '0000-01-01T00:00:00Z');
        for (const [n, database] of databases.entries()) {
          const next = databases[n + 1];
          if (next !== undefined) expect(at(database)).toBeLessThanOrEqual(at(next));
        }
        // A leader without a follower is told of by the sweep of its own host, and never taken.
        for (const { database } of withoutFollower) {
          expect(databases).not.toContain(database);
          const record = records.find((one) => one.database === database);
          expect(record).toMatchObject({ leader: B, follower: null });
        }
      }),
    );
  });

  test('never takes a leader, whatever the record and the process say', () => {
    fc.assert(
      fc.property(anyRecord, fc.constantFrom(A.host, B.host), (record, host) => {
        const found = whereabouts(host, record.database, record);
        if (found.here) {
          expect(found.endpoint.host).toBe(host);
          expect(record.follower).toEqual(found.endpoint);
          expect(record.leader.host).not.toBe(host);
        } else {
          expect(found.follower).toBe(record.epoch > 0 ? (record.follower?.host ?? null) : null);
        }
      }),
    );
  });
});

describe('a follower', () => {
  const link = { address: A.address, port: A.port, up: true, synchronising: false, offset: 7 };
  const facts = (change: Partial<ProcessFacts>): ProcessFacts =>
    ({ role: 'follower', loading: false, link, ...change }) as ProcessFacts;
  const judge = (change: Partial<ProcessFacts>): string | null =>
    unfitToSave('sessions-00', { endpoint: B, leader: A }, facts(change));

  test('that follows its leader, and has all of its data, may save', () => {
    expect(judge({})).toBeNull();
  });

  test.each<[string, Partial<ProcessFacts>, RegExp]>([
    ['that leads', { role: 'leader', link: null }, /says that it leads.*nothing forked/],
    ['that loads', { loading: true }, /still loads/],
    ['of somebody else', { link: { ...link, port: 6399 } }, /not its leader.*bring-up sessions-00/],
    ['that lost its leader', { link: { ...link, up: false } }, /data is of the past/],
    ['that is synchronised', { link: { ...link, up: false, synchronising: true } }, /being synchronised/],
  ])('%s may not', (_, change, why) => {
    expect(judge(change)).toMatch(why);
  });
});

describe('freshness', () => {
  const now = Date.parse('2026-11-23T12:00:00.000Z');
  test('is judged by the deadline, which is twice the pace unless the file says so', () => {
    const at = (minutes: number): string => new Date(now - minutes * 60_000).toISOString();
    expect(freshnessOf('a', at(119), DEFAULT_BACKUPS, now)).toMatchObject({ overdue: false, age: 7_140 });
    expect(freshnessOf('a', at(121), DEFAULT_BACKUPS, now).overdue).toBe(true);
    const strict = { ...DEFAULT_BACKUPS, deadline: 3_600_000 };
    expect(freshnessOf('a', at(61), strict, now).overdue).toBe(true);
    expect(overdueText(freshnessOf('a', at(61), strict, now), strict)).toContain(
      'redis-fleet backups take a',
    );
    expect(freshnessOf('a', null, DEFAULT_BACKUPS, now)).toEqual({
      database: 'a',
      at: null,
      age: null,
      overdue: true,
    });
  });
});

describe('the schedules of a fleet', () => {
  const wanted = schedulesOf(fleetOf());
  const asKnown = (change: Partial<KnownSchedule> = {}): KnownSchedule[] =>
    wanted.map(({ hosts: _, ...schedule }) => ({ ...schedule, note: '', ...change }));

  test('are there for every host, apart from each other, and need nothing once they are', () => {
    const sweeps = wanted.filter(({ type }) => type === 'backupSweep');
    expect(sweeps.map(({ request }) => request)).toEqual(
      ['redis-01-a', 'redis-01-b', 'redis-02-a', 'redis-02-b'].map((host) => ({ host })),
    );
    expect(new Set(sweeps.map(({ offset }) => offset)).size).toBe(4);
    for (const { offset, every } of sweeps) expect(offset).toBeLessThan(every);
    expect(planSchedules(wanted, []).map(({ kind }) => kind)).toEqual(wanted.map(() => 'create'));
    expect(planSchedules(wanted, asKnown())).toEqual([]);
  });

  test('follow the file, but a pause by hand stays', () => {
    const faster = schedulesOf(fleetOf(['databases:', 'backups: { every: 30m }\ndatabases:']));
    expect(planSchedules(faster, asKnown())[0]).toMatchObject({
      kind: 'change',
      text: 'every 1 h → 30 min',
    });
    const paused = schedulesOf(fleetOf(['databases:', 'backups: { paused: true }\ndatabases:']));
    expect(planSchedules(paused, asKnown())[0]).toMatchObject({ kind: 'change', paused: true });
    const ours = asKnown({ paused: true, note: PAUSED_BY_FILE });
    expect(planSchedules(wanted, ours)[0]).toMatchObject({ kind: 'change', paused: false });
    const theirs = asKnown({ paused: true, note: 'ann repairs the store' });
    expect(planSchedules(wanted, theirs)[0]).toMatchObject({ kind: 'left paused' });
    expect(planSchedules(faster, theirs)[0]).toMatchObject({ kind: 'change', paused: true });
    expect(planSchedules(wanted.slice(1), asKnown())).toEqual([
      { kind: 'remove', id: wanted[0]?.id, text: expect.stringContaining('is removed') as string },
    ]);
  });
});
