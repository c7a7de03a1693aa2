import { describe, expect, test } from 'vitest';
import { relocationState } from '../../src/fleet/relocation/observed.js';
import type { Observed } from '../../src/fleet/relocation/observed.js';
import type { MemoryHistory } from '../../src/fleet/relocation/state.js';
import { fleetOf } from './fleetText.js';
import { NOW, recordsOf, reportsOf } from './fleetReports.js';
import { leaderHistory } from './memoryStories.js';
import { MiB } from './relocationStates.js';

const fleet = fleetOf();
const well: Observed = {
  fleet,
  records: recordsOf(fleet),
  reports: reportsOf(fleet),
  histories: [],
  maintenance: [],
  now: NOW,
};

const total = well.reports[0]?.memory.total ?? 0;

function databaseIn(observed: Observed, name = 'sessions-00') {
  const found = relocationState(observed).databases.find((database) => database.name === name);
  if (found === undefined) throw new Error(`There is no ${name}.`);
  return found;
}

function hostIn(observed: Observed, name = 'redis-01-a') {
  const found = relocationState(observed).hosts.find((host) => host.name === name);
  if (found === undefined) throw new Error(`There is no ${name}.`);
  return found;
}

describe('what the planner sees', () => {
  test('a fleet that is well: every host takes databases, every database is free to move', () => {
    const state = relocationState(well);
    expect(state.hosts.map(({ name, closed }) => [name, closed])).toEqual([
      ['redis-01-a', null],
      ['redis-01-b', null],
      ['redis-02-a', null],
      ['redis-02-b', null],
    ]);
    expect(state.databases).toHaveLength(fleet.databases.length);
    expect(databaseIn(well)).toMatchObject({
      busy: null,
      usedMemory: 200 * MiB,
      residentMemory: 210 * MiB,
      maxmemory: 256 * MiB,
    });
    expect(hostIn(well).takenPorts).toContain(6300);
    expect(hostIn(well).takenPorts).not.toContain(6399);
  });

  test('a host in maintenance, and one whose agent is silent, take nothing, and say why', () => {
    const silent = well.reports.map((report) =>
      report.host === 'redis-02-a' ? { ...report, at: new Date(NOW - 120_000).toISOString() } : report,
    );
    const maintenance = [
      {
        scope: 'host' as const,
        name: 'redis-01-a',
        by: 'ana',
        reason: 'new memory',
        since: '2026-11-22T11:00:00Z',
      },
      {
        scope: 'host' as const,
        name: 'redis-01-b',
        by: 'ana',
        reason: 'done',
        since: '2026-11-22T10:00:00Z',
        until: '2026-11-22T11:00:00Z',
      },
    ];
    const observed = { ...well, reports: silent, maintenance };
    expect(hostIn(observed, 'redis-01-a').closed).toContain('ana: new memory');
    expect(hostIn(observed, 'redis-01-b').closed).toBeNull();
    expect(hostIn(observed, 'redis-02-a').closed).toBe('its agent has said nothing for 2 min');
  });

  test('a host that never reported is not there', () => {
    const observed = { ...well, reports: well.reports.filter(({ host }) => host !== 'redis-02-b') };
    expect(relocationState(observed).hosts.map(({ name }) => name)).not.toContain('redis-02-b');
  });

  test('a database that a runbook owns is left where it is', () => {
    const operation = {
      type: 'switchover',
      workflowId: 'switchover/sessions-00',
      runId: 'r',
      urgency: 'planned' as const,
      since: '2026-11-22T11:59:00Z',
    };
    const records = well.records.map((record) =>
      record.database === 'sessions-00' ? { ...record, operation } : record,
    );
    expect(databaseIn({ ...well, records }).busy).toBe(
      'owned by switchover, workflow switchover/sessions-00',
    );
    expect(databaseIn({ ...well, records }, 'sessions-01').busy).toBeNull();
  });

  test('a database that answers nobody counts as full, and stays', () => {
    const reports = well.reports.map((report) => ({
      ...report,
      processes: report.processes.map((process) => ({ ...process, facts: null })),
    }));
    expect(databaseIn({ ...well, reports })).toMatchObject({ usedMemory: 256 * MiB });
    expect(databaseIn({ ...well, reports }).busy).toContain('did not answer');
  });

  test('growth and writes come from what the leader published', () => {
    const histories = [
      leaderHistory('redis-01-a', (n) => ({ usedMemory: (100 + 25 * n) * MiB, offset: 50 * n * MiB })),
      // A follower that is being fed: no growth of the database.
      leaderHistory('redis-01-b', (n) => ({ role: 'follower', usedMemory: 60 * n * MiB })),
    ];
    const { growth, writeRate } = databaseIn({ ...well, histories });
    expect(growth.expected).toBeCloseTo(5 * MiB);
    expect(growth.high).toBeLessThan(6 * MiB);
    expect(writeRate).toBeCloseTo(10 * MiB);
    expect(hostIn({ ...well, histories })).toMatchObject({ cores: 12, memory: { limitedBy: 'cgroup' } });
  });

  test('a leader that was restarted, or came from elsewhere, did not grow by that', () => {
    const restarted = leaderHistory('redis-01-a', (n) => ({
      run: n < 5 ? 'run-1' : 'run-2',
      usedMemory: n < 5 ? 10 * MiB : 200 * MiB,
    }));
    expect(databaseIn({ ...well, histories: [restarted] }).growth).toEqual({ low: 0, expected: 0, high: 0 });
    const before = leaderHistory('redis-02-a', () => ({ usedMemory: 190 * MiB }));
    expect(databaseIn({ ...well, histories: [before, restarted] }).growth.high).toBe(0);
  });

  test('without samples no growth is claimed', () => {
    expect(databaseIn(well).growth).toEqual({ low: 0, expected: 0, high: 0 });
  });

  test('the last three forks, on whichever host they were', () => {
    const fork = (at: number) => ({
      database: 'sessions-00',
      port: 6300,
      at,
      seconds: 1,
      copyOnWrite: MiB,
      usedMemory: 100 * MiB,
      writeRate: 0,
    });
    const histories = [
      { ...leaderHistory('redis-01-a', () => ({})), forks: [fork(NOW - 1_000)] },
      { ...leaderHistory('redis-01-b', () => ({})), forks: [fork(1), fork(2), fork(NOW - 2_000)] },
    ];
    expect(databaseIn({ ...well, histories }).forks.map(({ at }) => at)).toEqual([
      2,
      NOW - 2_000,
      NOW - 1_000,
    ]);
  });

  test('other work on the machine grows too; its jitter within a minute is no growth', () => {
    const used = (everyMs: number, host: string): MemoryHistory => ({
      ...leaderHistory(host, () => ({})),
      samples: Array.from({ length: 20 }, (_, n) => ({
        at: NOW - (20 - n) * everyMs,
        memory: { total, available: (900 - n * 10) * MiB },
        processes: [],
      })),
    });
    const slow = hostIn({ ...well, histories: [used(10_000, 'redis-01-a')] });
    expect(slow.otherGrowth.expected).toBeCloseTo(MiB);
    const jitter = hostIn({ ...well, histories: [used(100, 'redis-01-a')] });
    expect(jitter.otherGrowth).toEqual({ low: 0, expected: 0, high: 0 });
  });

  test('another limit of the host is no growth of other work', () => {
    const limited = (known: number): MemoryHistory => ({
      ...leaderHistory('redis-01-a', () => ({})),
      samples: Array.from({ length: 30 }, (_, n) => ({
        at: NOW - (30 - n) * 5_000,
        memory: n < known ? { total: 2 * total, available: 2 * total } : { total, available: 512 * MiB },
        processes: [],
      })),
    });
    // The second: the new limit is in the report, and not yet in the history.
    for (const known of [10, 30]) {
      const { otherGrowth } = hostIn({ ...well, histories: [limited(known)] });
      expect(otherGrowth).toEqual({ low: 0, expected: 0, high: 0 });
    }
  });
});
