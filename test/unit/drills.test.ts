import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drillProblems, planDrills, type DrillRecord } from '../../src/fleet/drills.js';
import { DEFAULT_BACKUPS } from '../../src/fleet/fleet.js';
import type { Fleet } from '../../src/fleet/fleet.js';
import type { HostReport } from '../../src/fleet/facts.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { followerEndpoint, leaderEndpoint, MiB } from './facts.js';
import { schedulesOf } from '../../src/fleet/schedules.js';
import { fleetOf } from './fleetText.js';

const DAY = 86_400_000;
const NOW = Date.parse('2026-11-23T12:00:00.000Z');
const at = (daysAgo: number): string => new Date(NOW - daysAgo * DAY).toISOString();

const fleet: Fleet = fleetOf();
const names = fleet.databases.map(({ name }) => name);
const [host = ''] = fleet.servers.flatMap(({ hosts }) => hosts.map(({ name }) => name));

function record(database: string, updatedAt = at(0)): DatabaseRecord {
  return {
    database,
    server: 'redis-01',
    epoch: 1,
    leader: leaderEndpoint,
    follower: followerEndpoint,
    updatedAt,
    updatedBy: 'test',
  };
}

function drill(database: string, daysAgo: number, passed = true): DrillRecord {
  return {
    database,
    at: at(daysAgo),
    host,
    passed,
    why: passed ? null : 'It was altered.',
    backup: '20261123T110000000Z-e1',
    takenAt: at(daysAgo),
    bytes: MiB,
    keys: 1,
    sampled: 1,
    seconds: 1,
    lastPassed: passed ? at(daysAgo) : null,
  };
}

function report(name: string, available: number, ageMs = 0): HostReport {
  return {
    host: name,
    at: new Date(NOW - ageMs).toISOString(),
    memory: { total: 64 * 1024 * MiB, available: available + 0.05 * 64 * 1024 * MiB },
    diskAvailable: 0,
    processes: [],
  };
}

const roomy = [report(host, 64 * 1024 * MiB)];

describe('the drills that are due', () => {
  test('are those whose last is older than half of the time that each has, the oldest first', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 30 })), { maxLength: 12 }), (ages) => {
        const records = ages.map((_, index) => record(`db-${index}`));
        const done = ages.flatMap((age, index) => (age === null ? [] : [drill(`db-${index}`, age)]));
        const { drills, left } = planDrills(fleet, records, done, roomy, {}, NOW);
        const age = (name: string): number => ages[Number(name.slice(3))] ?? Number.POSITIVE_INFINITY;
        const half = DEFAULT_BACKUPS.drillWithin / 2 / DAY;
        expect(left).toEqual([]);
        expect(drills.map(({ database }) => database).toSorted()).toEqual(
          records
            .map(({ database }) => database)
            .filter((name) => age(name) >= half)
            .toSorted(),
        );
        const taken = drills.map(({ database }) => age(database));
        expect(taken).toEqual(taken.toSorted((a, b) => b - a));
      }),
    );
  });

  test('go where there is most room by a fresh report, and nowhere else', () => {
    const hosts = fleet.servers.flatMap((server) => server.hosts.map(({ name }) => name));
    const [first = '', second = '', third = ''] = hosts;
    const [database = ''] = names;
    const reports = [
      report(first, 400 * MiB),
      report(second, 4000 * MiB),
      report(third, 9000 * MiB, 60_000),
      report('stranger', 90_000 * MiB),
    ];
    const plan = (request: Parameters<typeof planDrills>[4]) =>
      planDrills(fleet, [record(database)], [], reports, request, NOW);
    expect(plan({}).drills).toMatchObject([{ database, host: second }]);
    expect(plan({ host: first }).drills).toMatchObject([{ database, host: first }]);
    expect(plan({ host: third })).toMatchObject({
      drills: [],
      left: [`${database} was not drilled: ${third} has no room for it, or its agent does not report`],
    });
    expect(planDrills(fleet, [record(database)], [], [], {}, NOW).left).toEqual([
      `${database} was not drilled: no host whose agent reports has room for it`,
    ]);
  });

  test('hold one that is named, due or not', () => {
    const [database = '', other = ''] = names;
    const records = [record(database), record(other)];
    const { drills } = planDrills(fleet, records, [drill(database, 0)], roomy, { database }, NOW);
    expect(drills.map((one) => one.database)).toEqual([database]);
  });
});

describe('the check', () => {
  const [database = ''] = names;
  const problems = (records: DatabaseRecord[], drills: DrillRecord[]): string[] =>
    drillProblems(fleet, records, drills, NOW).map(({ text }) => text);

  test('says nothing of a drill that passed in time, nor of a database that had no time for one', () => {
    expect(problems([record(database, at(100))], [drill(database, 6.9)])).toEqual([]);
    expect(problems([record(database, at(6))], [])).toEqual([]);
  });

  test('complains of one that failed, is overdue, or never was', () => {
    expect(problems([record(database)], [drill(database, 1, false)])).toEqual([
      `The last drill of ${database} (${at(1)}, backup 20261123T110000000Z-e1) failed: It was altered. Try again: redis-fleet backups drill ${database}`,
    ]);
    expect(problems([record(database)], [drill(database, 8)])[0]).toContain('was last tried out 8 d ago');
    expect(problems([record(database, at(8))], [])[0]).toContain('was never tried out by a drill');
  });
});

describe('the schedule of drills', () => {
  test('is one for the fleet, often enough that no database becomes overdue, and waits for backups to be there', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3_600_000, max: 365 * DAY }), (drillWithin) => {
        const [schedule, ...more] = schedulesOf({
          ...fleet,
          backups: { ...fleet.backups, drillWithin },
        }).filter(({ type }) => type === 'drillBackups');
        expect(more).toEqual([]);
        expect(schedule).toMatchObject({ id: `drillBackups/${fleet.name}`, request: {}, atOnce: false });
        // Not due yet at one start, drilled at the next.
        const worst = drillWithin / 2 + (schedule?.every ?? 0) + (schedule?.jitter ?? 0);
        expect(worst).toBeLessThan(drillWithin);
      }),
    );
  });
});
