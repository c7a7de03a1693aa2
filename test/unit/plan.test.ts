import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Fleet } from '../../src/fleet/fleet.js';
import { planFleet } from '../../src/fleet/plan.js';
import type { PlanInput } from '../../src/fleet/plan.js';
import { effectOf } from '../../src/fleet/planChange.js';
import type { Plan } from '../../src/fleet/planChange.js';
import { planSummary, planText } from '../../src/fleet/planText.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { endpoint, NOW, recordOf, recordsOf, reportsOf } from './fleetReports.js';
import { fleetOf } from './fleetText.js';

const fleet = fleetOf();

function plan(changes: Partial<PlanInput> = {}): Plan {
  return planFleet({
    desired: fleet,
    applied: fleet,
    records: recordsOf(fleet),
    unreadable: [],
    reports: reportsOf(fleet),
    now: NOW,
    ...changes,
  });
}

function withDatabase(name: string, change: Partial<DatabaseRecord>): DatabaseRecord[] {
  return recordsOf(fleet).map((record) => (record.database === name ? { ...record, ...change } : record));
}

describe('a plan', () => {
  test('of a fleet that is as its file says is empty', () => {
    expect(plan()).toEqual({ fleet: 'demo', stores: false, changes: [], warnings: [] });
    expect(planText(plan())).toBe('Nothing to do: fleet demo is as its file describes it.');
  });

  test('of a new fleet provisions every server, and asks for agents that are silent', () => {
    const made = plan({ applied: null, records: [], reports: reportsOf(fleet).slice(1) });
    expect(made.stores).toBe(true);
    expect(made.changes).toMatchObject([
      {
        kind: 'provision server',
        server: 'redis-01',
        isNew: true,
        databases: ['sessions-00', 'sessions-01'],
      },
      { kind: 'provision server', server: 'redis-02', isNew: true, databases: ['carts-00'] },
      { kind: 'silent host', host: 'redis-01-a', lastReport: null },
    ]);
    const text = planText(made);
    expect(text).toContain(
      'provision sessions-00, sessions-01 (leaders on redis-01-a, followers on redis-01-b)',
    );
    expect(text).toContain('start there: redis-fleet agent --host redis-01-a');
    expect(text).toContain(
      '2 changes to apply to fleet demo, 3 databases to provision. 1 line marked i is for you to read.',
    );
  });

  test('provisions what has no leader yet, and says which runbook is at it', () => {
    const operation = {
      type: 'provisionServer',
      workflowId: 'provisionServer/redis-02',
      runId: 'r',
      urgency: 'planned',
      since: '2026-01-01T00:00:00Z',
    } as const;
    const made = plan({ records: withDatabase('carts-00', { epoch: 0, follower: null, operation }) });
    expect(made.changes).toMatchObject([
      {
        kind: 'provision server',
        server: 'redis-02',
        isNew: false,
        databases: ['carts-00'],
        runbook: 'provisionServer/redis-02',
      },
    ]);
    expect(planText(made)).toContain('provisionServer/redis-02 is at it');
  });

  test('provisions a database that is new in the file on a server that is not', () => {
    const desired = fleetOf([
      'databases:\n',
      'databases:\n  - { name: new-00, server: redis-02, port: 6399, maxmemory: 64MiB }\n',
    ]);
    const made = plan({ desired });
    expect(made.stores).toBe(true);
    expect(made.changes).toMatchObject([
      { kind: 'provision server', server: 'redis-02', databases: ['new-00'] },
    ]);
  });

  test('starts nothing for a database that has a leader already', () => {
    const made = plan({ applied: { ...fleet, databases: fleet.databases.slice(1) } });
    expect(made.changes).toMatchObject([{ kind: 'adopt database', database: 'sessions-00' }]);
  });

  test('shows changed settings, maxmemory, zones and memory, and stores them', () => {
    const desired = fleetOf(
      ['databases:', 'detection: { policy: ask, downAfter: 1500ms }\nbackups: { every: 30m }\ndatabases:'],
      ['port: 6310, maxmemory: 256MiB', 'port: 6310, maxmemory: 512MiB'],
      ['zone: az-c, address: 127.0.2.2, memory: 1GiB', 'zone: az-d, address: 127.0.2.2, memory: 2GiB'],
    );
    const made = plan({ desired });
    expect(made.changes.map(effectOf)).toEqual(Array.from({ length: 6 }, () => 'apply'));
    const text = planText(made);
    for (const words of [
      'detection.downAfter  1s → 1500ms',
      'detection.policy     automatic → ask',
      'backups.every        1h → 30m',
      'maxmemory 256 MiB → 512 MiB; running processes keep what they have',
      'zone az-c → az-d; no process is touched',
      'memory 1 GiB → 2 GiB',
    ]) {
      expect(text).toContain(words);
    }
  });

  test('informs about a database that is elsewhere, and moves nothing', () => {
    const made = plan({ records: withDatabase('carts-00', { leader: endpoint(fleet, 'redis-01-a', 6310) }) });
    expect(made.changes).toMatchObject([
      {
        kind: 'database elsewhere',
        file: { server: 'redis-02', port: 6310 },
        record: { leader: { host: 'redis-01-a' } },
      },
    ]);
    expect(made.changes.map(effectOf)).toEqual(['inform']);
    expect(planText(made)).toContain('the record counts, and apply never moves one');
  });

  test('says nothing of a pair whose roles are swapped: that is what a promotion leaves', () => {
    const records = recordsOf(fleet).map((record) => ({
      ...record,
      epoch: 2,
      leader: record.follower ?? record.leader,
      follower: record.leader,
    }));
    expect(plan({ records }).changes).toEqual([]);
  });

  test('refuses another address of a host while records point at it, and takes it once none does', () => {
    const desired = fleetOf(['127.0.2.1', '127.0.2.9']);
    const made = plan({ desired });
    expect(made.changes.filter((change) => effectOf(change) === 'refuse')).toMatchObject([
      {
        kind: 'change host address',
        host: 'redis-02-a',
        from: '127.0.2.1',
        to: '127.0.2.9',
        usedBy: ['carts-00'],
      },
    ]);
    expect(planSummary(made)).toBe(
      'Refused: 1 change marked ! must be resolved first; apply would do nothing at all.',
    );
    const free = plan({
      desired,
      records: recordsOf(fleet).filter(({ database }) => database !== 'carts-00'),
    });
    expect(free.changes.map(effectOf)).not.toContain('refuse');
  });

  test('refuses to lose a host that records point at', () => {
    const made = plan({
      desired: { ...fleet, servers: fleet.servers.slice(0, 1), databases: fleet.databases.slice(0, 2) },
    });
    expect(made.changes).toMatchObject([
      { kind: 'remove host', host: 'redis-02-a', usedBy: ['carts-00'] },
      { kind: 'remove host', host: 'redis-02-b', usedBy: ['carts-00'] },
      { kind: 'remove database', database: 'carts-00' },
    ]);
    expect(planText(made)).toContain('refused, carts-00 is still there by the record');
  });

  test('never stops or deletes a database that left the file', () => {
    const made = plan({ desired: { ...fleet, databases: fleet.databases.slice(0, 2) } });
    expect(made.changes.map((change) => [change.kind, effectOf(change)])).toEqual([
      ['remove database', 'inform'],
    ]);
    expect(made.stores).toBe(true);
    expect(planText(made)).toContain(
      'it keeps running on redis-02-a (127.0.2.1:6310): apply never stops or deletes one',
    );
  });

  test('names the command for a database without a follower, whether the record or the host says so', () => {
    const none = plan({ records: withDatabase('carts-00', { follower: null }) });
    expect(planText(none)).toContain('has no follower; run: redis-fleet bring-up carts-00');
    const down = plan({
      reports: reportsOf(fleet).map((report) =>
        report.host === 'redis-02-b' ? { ...report, processes: [] } : report,
      ),
    });
    expect(planText(down)).toContain(
      'its follower on redis-02-b (127.0.2.2:6310) is down; run: redis-fleet bring-up carts-00',
    );
  });

  test('does not call a follower down because its agent is silent', () => {
    expect(plan({ reports: [] }).changes).toEqual([]);
  });

  test('leaves a database with an unreadable record alone', () => {
    const made = plan({
      records: recordsOf(fleet).slice(1),
      unreadable: [{ database: 'sessions-00', problem: 'Consul key x does not hold JSON.' }],
    });
    expect(made.changes).toEqual([
      { kind: 'unreadable record', database: 'sessions-00', problem: 'Consul key x does not hold JSON.' },
    ]);
  });

  test('refuses a new database on a port that a moved one took', () => {
    const desired = fleetOf([
      'databases:\n',
      'databases:\n  - { name: new-00, server: redis-01, port: 6310, maxmemory: 64MiB }\n',
    ]);
    const made = plan({
      desired,
      records: withDatabase('carts-00', { leader: endpoint(fleet, 'redis-01-a', 6310), follower: null }),
    });
    expect(made.changes.filter((change) => effectOf(change) === 'refuse')).toEqual([
      {
        kind: 'conflict',
        problem:
          'new-00 cannot be provisioned: 127.0.1.1:6310 is taken by database carts-00 on host redis-01-a',
      },
    ]);
  });

  test('mentions details that have no line of their own, such as the order of the hosts', () => {
    const [first, ...others] = fleet.servers;
    if (first === undefined) throw new Error('The fleet has no servers.');
    const swapped: Fleet = {
      ...fleet,
      servers: [{ ...first, hosts: [first.hosts[1], first.hosts[0]] }, ...others],
    };
    expect(plan({ desired: swapped }).changes).toEqual([{ kind: 'store details' }]);
  });

  test('does not depend on the order of the keys that Consul gives back', () => {
    const reversed = Object.fromEntries(Object.entries(fleet).reverse()) as unknown as Fleet;
    expect(plan({ applied: reversed }).stores).toBe(false);
  });

  test('whatever is applied, and brought up, leaves nothing to apply', () => {
    const part = fc.subarray(fleet.databases as Fleet['databases'][number][]);
    fc.assert(
      fc.property(part, part, fc.option(part, { nil: null }), (desiredPart, established, appliedPart) => {
        const desired = { ...fleet, databases: desiredPart };
        const before = {
          desired,
          applied: appliedPart === null ? null : { ...fleet, databases: appliedPart },
          records: established.map((database) => recordOf(fleet, database)),
          unreadable: [],
          reports: reportsOf(fleet),
          now: NOW,
        };
        const brought = planFleet(before).changes.flatMap((change) =>
          change.kind === 'provision server' ? change.databases : [],
        );
        const names = established.map(({ name }) => name);
        expect(brought.toSorted()).toEqual(
          desiredPart
            .map(({ name }) => name)
            .filter((name) => !names.includes(name))
            .toSorted(),
        );
        const fresh = desiredPart.filter(({ name }) => brought.includes(name));
        const after = planFleet({
          ...before,
          applied: desired,
          records: [...before.records, ...fresh.map((database) => recordOf(fleet, database))],
        });
        expect(after.stores).toBe(false);
        expect(after.changes.filter((change) => effectOf(change) !== 'inform')).toEqual([]);
      }),
    );
  });
});
