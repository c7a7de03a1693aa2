import { describe, expect, test } from 'vitest';
import { checkFleet } from '../../src/fleet/checks.js';
import type { CheckInput } from '../../src/fleet/checks.js';
import type { HostReport, ProcessFacts } from '../../src/fleet/facts.js';
import { statusView } from '../../src/fleet/statusView.js';
import type { DatabaseStatus, OpenRunbook, StatusInput, StatusView } from '../../src/fleet/statusView.js';
import { statusText } from '../../src/cli/statusText.js';
import { MiB, processFacts } from './facts.js';
import { followerFacts, NOW, recordsOf, reportsOf } from './fleetReports.js';
import { fleetOf } from './fleetText.js';

const fleet = fleetOf();
const records = recordsOf(fleet);
const well: StatusInput = {
  fleet,
  records,
  unreadable: [],
  reports: reportsOf(fleet),
  backups: fleet.databases.map(({ name }) => ({
    database: name,
    at: new Date(NOW - 1_200_000).toISOString(),
  })),
  watches: fleet.servers.map(({ name }) => ({ server: name, at: new Date(NOW - 3_000).toISOString() })),
  maintenance: [],
  runbooks: [],
  now: NOW,
};

function view(changes: Partial<StatusInput> = {}): StatusView {
  return statusView({ ...well, ...changes });
}

function database(name: string, changes: Partial<StatusInput> = {}): DatabaseStatus {
  const found = view(changes).databases.find((one) => one.database === name);
  if (found === undefined) throw new Error(`The status has no ${name}.`);
  return found;
}

/** The reports, with the facts of one process on one host changed; null: the process is stopped. */
function reportsWith(name: string, host: string, facts: ProcessFacts | null): HostReport[] {
  return reportsOf(fleet).map((report) => ({
    ...report,
    processes: report.processes.map((one) =>
      report.host !== host || one.database !== name
        ? one
        : { ...one, facts, ...(facts === null ? { state: 'stopped' as const, pid: null } : {}) },
    ),
  }));
}

const runbook: OpenRunbook = {
  workflowId: 'bringUpFollower/sessions-00',
  type: 'bringUpFollower',
  status: 'stuck',
  databases: ['sessions-00'],
  servers: ['redis-01'],
  startedAt: '2026-11-22T11:59:00Z',
};

describe('the status', () => {
  test('of a fleet that is well says so, with lag, memory and the age of the backup', () => {
    const seen = view();
    expect(seen.well).toBe(true);
    expect(seen.problems).toEqual([]);
    expect(seen.temporal).toEqual({ reachable: true, problem: null });
    expect(seen.servers[0]).toMatchObject({
      server: 'redis-01',
      databases: ['sessions-00', 'sessions-01'],
      hosts: [{ host: 'redis-01-a', report: 'fresh', reportAge: 2, processes: 2 }, { host: 'redis-01-b' }],
    });
    expect(seen.databases[0]).toMatchObject({
      database: 'sessions-00',
      epoch: 1,
      leader: { host: 'redis-01-a', port: 6300, state: 'running', role: 'leader', totalForks: 0 },
      follower: { host: 'redis-01-b', state: 'running', role: 'follower' },
      lag: 0,
      usedMemory: 200 * MiB,
      maxmemory: 256 * MiB,
      backup: { age: 1200 },
      runbook: null,
      problems: [],
    });
  });

  test('the text of it has a row for each host and database, without lines where nobody looks', () => {
    const text = statusText(view(), { lines: false });
    expect(text).toMatch(/^redis-01 +redis-01-a +az-a +127\.0\.1\.1 +reports +512 MiB of 1 GiB +2$/m);
    expect(text).toMatch(
      /^sessions-00 +redis-01-a:6300 +redis-01-b:6300 +0 B +200 MiB of 256 MiB +20 min ago$/m,
    );
    expect(text).toContain('All is well.');
    expect(text).not.toMatch(/[│─┌]/);
    expect(statusText(view(), { lines: true })).toContain('│');
  });

  test('lag is the distance of the positions, in bytes', () => {
    const record = records[0];
    if (record === undefined) throw new Error('There is no record.');
    const link = followerFacts(record).link;
    if (link === null) throw new Error('The follower has no link.');
    const behind = followerFacts(record, { link: { ...link, offset: link.offset - 4096 } });
    expect(database('sessions-00', { reports: reportsWith('sessions-00', 'redis-01-b', behind) }).lag).toBe(
      4096,
    );
    // The follower's report is the younger one: it is not ahead of its leader.
    const ahead = followerFacts(record, { link: { ...link, offset: link.offset + 4096 } });
    expect(database('sessions-00', { reports: reportsWith('sessions-00', 'redis-01-b', ahead) }).lag).toBe(0);
  });

  test('lag is unknown between two histories', () => {
    const record = records[0];
    if (record === undefined) throw new Error('There is no record.');
    const other = followerFacts(record, { position: { id: 'f'.repeat(40), offset: 5 } });
    expect(
      database('sessions-00', { reports: reportsWith('sessions-00', 'redis-01-b', other) }).lag,
    ).toBeNull();
  });

  test('a follower that is down is a problem with a command, and its leader still serves', () => {
    const seen = database('sessions-00', { reports: reportsWith('sessions-00', 'redis-01-b', null) });
    expect(seen.follower?.state).toBe('stopped');
    expect(seen.leader?.state).toBe('running');
    expect(seen.problems).toEqual([
      'The follower of sessions-00 on host redis-01-b is down; run: redis-fleet bring-up sessions-00.',
    ]);
  });

  test('a follower that lost its leader, follows another, or leads, is a problem', () => {
    const record = records[0];
    if (record === undefined) throw new Error('There is no record.');
    const link = { address: '127.0.1.1', port: 6300, up: true, synchronising: false, offset: 0 };
    const problem = (facts: ProcessFacts): string =>
      database('sessions-00', { reports: reportsWith('sessions-00', 'redis-01-b', facts) }).problems.join();
    expect(problem(followerFacts(record, { link: { ...link, up: false } }))).toContain('has lost its leader');
    expect(problem(followerFacts(record, { link: { ...link, port: 1 } }))).toContain(
      'does not follow its leader',
    );
    expect(problem(processFacts())).toContain('it leads by itself');
  });

  test('a leader that is down, or is no leader, is said plainly', () => {
    const record = records[0];
    if (record === undefined) throw new Error('There is no record.');
    const down = database('sessions-00', { reports: reportsWith('sessions-00', 'redis-01-a', null) });
    expect(down.problems[0]).toBe(
      'The leader of sessions-00 on host redis-01-a is down: nobody takes its writes.',
    );
    const demoted = reportsWith('sessions-00', 'redis-01-a', followerFacts(record));
    expect(database('sessions-00', { reports: demoted }).problems.join()).toContain(
      'but the process there is a follower',
    );
  });

  test('a report older than 30 s is stale: shown with its age, and not relied on', () => {
    const reports = reportsOf(fleet).map((report) =>
      report.host === 'redis-01-a' ? { ...report, at: new Date(NOW - 31_000).toISOString() } : report,
    );
    const seen = view({ reports });
    expect(seen.servers[0]?.hosts[0]).toMatchObject({ report: 'stale', reportAge: 31 });
    expect(seen.databases[0]).toMatchObject({ leader: { state: 'unknown' }, lag: null, usedMemory: null });
    expect(seen.problems).toEqual([
      'The agent of host redis-01-a has not reported for 31 s; start it there: redis-fleet agent --host redis-01-a.',
    ]);
    expect(statusText(seen, { lines: false })).toContain('silent for 31 s');
  });

  test('a database that was never backed up says never', () => {
    const seen = view({ backups: [] });
    expect(seen.databases[0]?.backup).toBeNull();
    expect(statusText(seen, { lines: false })).toMatch(/sessions-00.*never$/m);
  });

  test('Temporal away is a sentence, and the databases are shown all the same', () => {
    const seen = view({ runbooks: { unknown: 'Temporal at x cannot be reached.' } });
    expect(seen.well).toBe(false);
    expect(seen.temporal).toEqual({ reachable: false, problem: 'Temporal at x cannot be reached.' });
    expect(seen.databases.every(({ leader }) => leader?.state === 'running')).toBe(true);
  });

  test('shows the runbook that owns a database by its record, with the status that Temporal has', () => {
    const owned = records.map((record) => ({
      ...record,
      operation: {
        type: 'bringUpFollower',
        workflowId: runbook.workflowId,
        runId: 'r',
        urgency: 'planned',
        since: 's',
      },
    })) as unknown as typeof records;
    const seen = database('sessions-00', { records: owned, runbooks: [runbook] });
    expect(seen.runbook).toEqual({
      workflowId: runbook.workflowId,
      type: 'bringUpFollower',
      status: 'stuck',
      since: 's',
    });
    expect(view({ runbooks: [runbook] }).problems).toEqual([
      'Runbook bringUpFollower/sessions-00 is stuck; see: redis-fleet runbook show bringUpFollower/sessions-00.',
    ]);
  });

  test('a database without a record, and one with an unreadable record, are shown as that', () => {
    const seen = view({
      records: records.slice(2),
      unreadable: [{ database: 'sessions-00', problem: 'Consul key x does not hold JSON.' }],
    });
    expect(seen.databases.find((one) => one.database === 'sessions-00')?.problems).toEqual([
      'Consul key x does not hold JSON.',
    ]);
    expect(seen.databases.find((one) => one.database === 'sessions-01')?.problems).toEqual([
      'Database sessions-01 has no leader yet; run: redis-fleet apply.',
    ]);
  });

  test('a database that left the file is still shown: it still runs', () => {
    const smaller = { ...fleet, databases: fleet.databases.slice(1) };
    expect(database('sessions-00', { fleet: smaller }).leader?.state).toBe('running');
  });
});

describe('the check', () => {
  const shut: CheckInput = { ...well, gates: [], drills: [] };
  const first = records[0];

  function findings(changes: Partial<CheckInput> = {}): string[] {
    return checkFleet({ ...shut, ...changes }).map(({ severity, check }) => `${severity}: ${check}`);
  }

  test('finds nothing in a fleet that is well', () => {
    expect(findings()).toEqual([]);
  });

  test('a fork of a leader is a warning: who did it cannot be told from here', () => {
    const reports = reportsWith('sessions-00', 'redis-01-a', processFacts({ totalForks: 2 }));
    const [finding] = checkFleet({ ...shut, reports });
    expect(finding).toMatchObject({ severity: 'warning', check: 'forks', subject: 'sessions-00' });
    expect(finding?.text).toContain('has forked 2 times since it started');
  });

  test('an open gate is a failure, and a warning while a runbook owns the database', () => {
    if (first === undefined) throw new Error('There is no record.');
    const gates = [
      {
        database: 'sessions-00',
        endpoint: first.leader,
        open: ['repl-diskless-sync-delay is 0'],
        problem: null,
      },
    ];
    expect(findings({ gates })).toEqual(['failure: gates']);
    const operation = { type: 't', workflowId: 'w', runId: 'r', urgency: 'planned', since: 's' } as const;
    const owned = records.map((record) => ({ ...record, operation }));
    expect(findings({ gates, records: owned })).toEqual(['warning: gates']);
  });

  test('gates that nobody could look at are said, and do not fail the check', () => {
    expect(findings({ gates: { unknown: 'REDIS_FLEET_CREDENTIALS is not set.' } })).toEqual([
      'warning: gates',
    ]);
  });

  test('a process that no record knows is a failure, unless a runbook is at its database', () => {
    const known = records.map((record) => ({ ...record, follower: null }));
    const strangers = checkFleet({ ...shut, records: known }).filter(({ check }) => check === 'processes');
    expect(strangers.map(({ text }) => text)).toContain(
      'A process of sessions-00 runs on redis-01-b (127.0.1.2:6300), and no record knows it.',
    );
    const operation = { type: 't', workflowId: 'w', runId: 'r', urgency: 'planned', since: 's' } as const;
    const owned = known.map((record) => ({ ...record, operation }));
    expect(findings({ records: owned }).filter((finding) => finding.endsWith('processes'))).toEqual([]);
  });

  test('silent agents, missing followers, stuck runbooks and an absent Temporal are failures', () => {
    expect(findings({ reports: reportsOf(fleet).slice(1) })).toContain('failure: reports');
    expect(findings({ records: records.map((record) => ({ ...record, follower: null })) })).toContain(
      'failure: record',
    );
    expect(findings({ runbooks: [runbook] })).toEqual(['failure: runbooks']);
    expect(findings({ runbooks: { unknown: 'Temporal is away.' } })).toEqual(['failure: runbooks']);
  });
});

describe('watches and maintenance', () => {
  test('a server that leads something and that nobody watches is not well, and the sentence has the command', () => {
    const only = well.watches.filter(({ server }) => server !== 'redis-01');
    expect(view({ watches: only }).problems).toEqual([
      'Nobody watches the leaders of server redis-01, so none is promoted automatically; start the watch: redis-fleet apply',
    ]);
    expect(view({ watches: only }).servers.map(({ watched }) => watched)).toEqual([false, true]);
    const checked = checkFleet({ ...well, gates: [], drills: [], watches: only });
    expect(checked).toMatchObject([{ severity: 'failure', check: 'watches' }]);
  });

  test('a watch that has fallen silent is named with its age', () => {
    const watches = fleet.servers.map(({ name }) => ({
      server: name,
      at: new Date(NOW - 60_000).toISOString(),
    }));
    expect(view({ watches }).problems[0]).toMatch(/^The watch of server redis-01 has said nothing for 60 s/);
  });

  test('a server that leads nothing needs no watch', () => {
    expect(view({ watches: [], records: [] }).problems.join()).not.toContain('watches');
  });

  test('maintenance is shown with every database that it covers, and makes nothing unwell', () => {
    const since = new Date(NOW - 60_000).toISOString();
    const host = { scope: 'host', name: 'redis-01-a', by: 'ana', reason: 'new memory', since } as const;
    const seen = view({ maintenance: [host, { ...host, name: 'redis-01-b', until: since }] });
    expect(seen.well).toBe(true);
    expect(seen.maintenance).toEqual([host]);
    expect(seen.databases[0]?.maintenance).toBe(
      'host redis-01-a is in maintenance since 2026-11-22 11:59:00 UTC (ana: new memory)',
    );
  });
});
