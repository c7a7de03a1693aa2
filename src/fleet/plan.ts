/** What applying a fleet file would change. Pure: the file, the fleet applied last, the records and reports in; changes out. */

import type { HostReport } from './facts.js';
import type { Database, Fleet, Host, Server } from './fleet.js';
import {
  actualPlacement,
  filePlacement,
  forkWarnings,
  hostsOf,
  placementProblems,
  placementProblemText,
} from './placement.js';
import { writeDuration, writeSize } from './quantities.js';
import type { Plan, PlanChange } from './planChange.js';
import type { DatabaseRecord } from './record.js';
import { isFresh } from './reportAge.js';

export interface PlanInput {
  readonly desired: Fleet;
  /** null: no fleet of this name was applied yet. */
  readonly applied: Fleet | null;
  readonly records: readonly DatabaseRecord[];
  /** Records that cannot be read: their databases are left alone. */
  readonly unreadable: readonly { readonly database: string; readonly problem: string }[];
  readonly reports: readonly HostReport[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

export function planFleet(input: PlanInput): Plan {
  const { desired, applied, records } = input;
  const provisions = provisionsOf(input);
  const stored = [
    ...adoptions(input),
    ...settingChanges(applied, desired),
    ...hostChanges(applied, desired, records),
    ...maxmemoryChanges(applied, desired),
  ];
  const stores = JSON.stringify(sorted(applied)) !== JSON.stringify(sorted(desired));
  const shown = provisions.length > 0 || stored.length > 0;
  const left = removedDatabases(input);
  const details: PlanChange[] = stores && !shown && left.length === 0 ? [{ kind: 'store details' }] : [];
  const placed = actualPlacement(desired, records);
  return {
    fleet: desired.name,
    stores,
    changes: [
      ...provisions,
      ...stored,
      ...details,
      ...conflicts(input),
      ...elsewhere(input),
      ...left,
      ...withoutFollower(input),
      ...input.unreadable.map((one): PlanChange => ({ kind: 'unreadable record', ...one })),
      ...silentHosts(input, provisions),
    ],
    warnings: forkWarnings(hostsOf(desired), placed),
  };
}

type Provision = Extract<PlanChange, { kind: 'provision server' }>;

/** The servers whose databases have no leader yet: exactly what `provisionServer` would bring up. */
function provisionsOf({ desired, applied, records, unreadable }: PlanInput): Provision[] {
  const settled = new Set([
    ...records.filter((record) => record.epoch > 0).map((record) => record.database),
    ...unreadable.map(({ database }) => database),
  ]);
  return desired.servers.flatMap((server) => {
    const own = desired.databases.filter((database) => database.server === server.name);
    const databases = own.filter((database) => !settled.has(database.name)).map(({ name }) => name);
    const isNew = applied?.servers.every((known) => known.name !== server.name) ?? true;
    if (databases.length === 0 && !isNew) return [];
    const owners = records.filter((record) => databases.includes(record.database) && record.epoch === 0);
    const runbook = owners.find((record) => record.operation !== undefined)?.operation?.workflowId ?? null;
    const [leader, follower] = server.hosts;
    const hosts = { leaderHost: leader.name, followerHost: follower.name };
    return [{ kind: 'provision server', server: server.name, isNew, databases, ...hosts, runbook }];
  });
}

function adoptions({ desired, applied, records }: PlanInput): PlanChange[] {
  const known = new Set(applied?.databases.map(({ name }) => name) ?? []);
  return desired.databases.flatMap(({ name }): PlanChange[] => {
    const record = records.find((candidate) => candidate.database === name && candidate.epoch > 0);
    if (record === undefined || known.has(name)) return [];
    return [{ kind: 'adopt database', database: name, leader: record.leader }];
  });
}

function settingChanges(applied: Fleet | null, desired: Fleet): PlanChange[] {
  if (applied === null) return [];
  const before = settingsOf(applied);
  return Object.entries(settingsOf(desired)).flatMap(([setting, to]): PlanChange[] => {
    const from = before[setting] ?? 'nothing';
    return from === to ? [] : [{ kind: 'change setting', setting, from, to }];
  });
}

function settingsOf({ detection, leases, backups, relocation }: Fleet): Record<string, string> {
  return {
    'detection.downAfter': writeDuration(detection.downAfter),
    'detection.policy': detection.policy,
    'detection.lagLimit': writeSize(detection.lagLimit),
    'detection.notAgainWithin': writeDuration(detection.notAgainWithin),
    'detection.breaker': `${detection.breaker} %`,
    'detection.atOnce': String(detection.atOnce),
    'leases.ttl': writeDuration(leases.ttl),
    'backups.every': writeDuration(backups.every),
    'backups.store': backups.store,
    'backups.keep.hourly': String(backups.keep.hourly),
    'backups.keep.daily': String(backups.keep.daily),
    'backups.keep.weekly': String(backups.keep.weekly),
    'backups.paused': String(backups.paused),
    'backups.compression': backups.compression,
    'backups.rate': backups.rate === null ? 'off' : writeSize(backups.rate),
    'backups.encryption': backups.encryption,
    'backups.deadline': backups.deadline === null ? 'auto' : writeDuration(backups.deadline),
    'backups.drillWithin': writeDuration(backups.drillWithin),
    'relocation.forkNoLongerFitsWithin': writeDuration(relocation.forkNoLongerFitsWithin),
    'relocation.policy': relocation.policy,
    'relocation.withoutAskingBelow':
      relocation.withoutAskingBelow === null ? 'off' : writeDuration(relocation.withoutAskingBelow),
    'relocation.notAgainWithin': writeDuration(relocation.notAgainWithin),
  };
}

function hostChanges(
  applied: Fleet | null,
  desired: Fleet,
  records: readonly DatabaseRecord[],
): PlanChange[] {
  if (applied === null) return [];
  const now = new Map(hostsOf(desired).map((host) => [host.name, host]));
  return applied.servers.flatMap((server) =>
    server.hosts.flatMap((before): PlanChange[] => {
      const usedBy = databasesOn(before, records);
      const after = now.get(before.name);
      if (after === undefined)
        return [{ kind: 'remove host', host: before.name, server: server.name, usedBy }];
      const host = before.name;
      const changes: PlanChange[] = [];
      if (before.address !== after.address) {
        changes.push({ kind: 'change host address', host, from: before.address, to: after.address, usedBy });
      }
      for (const field of ['zone', 'memory'] as const) {
        const [from, to] = [before[field], after[field]];
        if (from !== to) changes.push({ kind: 'change host', host, field, from, to });
      }
      return changes;
    }),
  );
}

function maxmemoryChanges(applied: Fleet | null, desired: Fleet): PlanChange[] {
  return desired.databases.flatMap(({ name, maxmemory }): PlanChange[] => {
    const before = applied?.databases.find((database) => database.name === name)?.maxmemory;
    if (before === undefined || before === maxmemory) return [];
    return [{ kind: 'change maxmemory', database: name, from: before, to: maxmemory }];
  });
}

/** New processes where the records have others already: databases move, and the file does not know. */
function conflicts({ desired, records }: PlanInput): PlanChange[] {
  const established = records.filter((record) => record.epoch > 0);
  const fresh = new Set(desired.databases.map(({ name }) => name));
  for (const { database } of established) fresh.delete(database);
  const isNew = (database: string): boolean => fresh.has(database);
  const placed = actualPlacement(desired, established);
  const known = new Set(
    placementProblems(hostsOf(desired), filePlacement(desired)).map((problem) =>
      placementProblemText(problem),
    ),
  );
  return placementProblems(hostsOf(desired), placed).flatMap((problem): PlanChange[] => {
    const involved =
      problem.kind === 'host full'
        ? placed.filter(({ host }) => host === problem.host.name).map(({ database }) => database)
        : [problem.first.database, problem.second.database];
    const text = placementProblemText(problem);
    if (!involved.some(isNew) || known.has(text)) return [];
    const newcomers = [...new Set(involved.filter(isNew))].join(', ');
    return [{ kind: 'conflict', problem: `${newcomers} cannot be provisioned: ${text}` }];
  });
}

/** A database that moved, or that the file would have elsewhere. The record is right; the file never moves one. */
function elsewhere({ desired, records }: PlanInput): PlanChange[] {
  return desired.databases.flatMap((database): PlanChange[] => {
    const record = records.find((candidate) => candidate.database === database.name && candidate.epoch > 0);
    const server = desired.servers.find((candidate) => candidate.name === database.server);
    if (record === undefined || server === undefined || isAt(record, database, server)) return [];
    const { leader, follower } = record;
    return [
      {
        kind: 'database elsewhere',
        database: database.name,
        file: { server: database.server, port: database.port },
        record: { server: record.server, leader, follower },
      },
    ];
  });
}

function isAt(record: DatabaseRecord, database: Database, server: Server): boolean {
  return [record.leader, record.follower].every(
    (endpoint) =>
      endpoint === null ||
      (endpoint.port === database.port && server.hosts.some((host) => host.name === endpoint.host)),
  );
}

function removedDatabases({ desired, records }: PlanInput): PlanChange[] {
  const named = new Set(desired.databases.map(({ name }) => name));
  return records
    .filter((record) => !named.has(record.database))
    .map(({ database, leader }): PlanChange => ({ kind: 'remove database', database, leader }));
}

function withoutFollower({ records, reports, now }: PlanInput): PlanChange[] {
  return records.flatMap((record): PlanChange[] => {
    const { database, leader, follower, epoch } = record;
    if (epoch === 0) return [];
    if (follower === null) return [{ kind: 'no follower', database, leader, down: null }];
    const report = reports.find((candidate) => candidate.host === follower.host);
    if (report === undefined || !isFresh(report, now)) return [];
    const runs = report.processes.some((one) => one.database === database && one.state === 'running');
    return runs ? [] : [{ kind: 'no follower', database, leader, down: follower }];
  });
}

function silentHosts({ reports, now }: PlanInput, provisions: readonly Provision[]): PlanChange[] {
  const needed = provisions
    .filter(({ databases }) => databases.length > 0)
    .flatMap(({ leaderHost, followerHost }) => [leaderHost, followerHost]);
  return needed.flatMap((host): PlanChange[] => {
    const report = reports.find((candidate) => candidate.host === host);
    if (report !== undefined && isFresh(report, now)) return [];
    return [{ kind: 'silent host', host, lastReport: report?.at ?? null }];
  });
}

function databasesOn(host: Host, records: readonly DatabaseRecord[]): string[] {
  return records
    .filter(({ leader, follower, extraFollowers }) =>
      [leader, follower, ...(extraFollowers ?? [])].some((endpoint) => endpoint?.host === host.name),
    )
    .map(({ database }) => database);
}

/** With its keys in order, so that two equal values have equal JSON whoever wrote it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, field]) => [key, sorted(field)]),
  );
}
