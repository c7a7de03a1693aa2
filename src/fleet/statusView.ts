/** `redis-fleet status` as data: the documented shape of its `--json`. Pure. Sizes are bytes, ages seconds. */

import type { HostMemory, HostReport, ProcessFacts } from './facts.js';
import type { Database, Fleet, Host } from './fleet.js';
import { isFresh } from './reportAge.js';
import { sameEndpoint } from './record.js';
import type { DatabaseRecord, Endpoint } from './record.js';
import type { RunbookStatus } from './runbook.js';
import { isOver } from './maintenance.js';
import type { Maintenance } from './maintenance.js';
import { memoryAlarms } from './memoryAlarm.js';
import { forecastFleet, type HostForecast } from './relocation/forecast.js';
import { relocationState } from './relocation/observed.js';
import type { MemoryHistory } from './relocation/state.js';
import { maintained, watchProblems } from './statusWatch.js';
import { unwatched } from './watchView.js';
import type { KnownWatches } from './watchView.js';

/** The last verified backup: what the view needs of `backups/<database>`. */
export interface BackupSummary {
  readonly database: string;
  /** ISO 8601. */
  readonly at: string;
}

/** An open runbook, as Temporal's visibility has it: a moment behind. */
export interface OpenRunbook {
  readonly workflowId: string;
  readonly type: string;
  readonly status: RunbookStatus | null;
  readonly databases: readonly string[];
  readonly servers: readonly string[];
  readonly startedAt: string;
}

export interface StatusInput {
  readonly fleet: Fleet;
  readonly records: readonly DatabaseRecord[];
  readonly unreadable: readonly { readonly database: string; readonly problem: string }[];
  readonly reports: readonly HostReport[];
  readonly backups: readonly BackupSummary[];
  readonly watches: KnownWatches;
  readonly maintenance: readonly Maintenance[];
  /** How the memory of hosts went. Absent: nobody looked, and nothing is forecast. */
  readonly histories?: readonly MemoryHistory[];
  /** A sentence where Temporal could not be asked. */
  readonly runbooks: readonly OpenRunbook[] | { readonly unknown: string };
  /** Milliseconds since 1970. */
  readonly now: number;
}

export interface StatusView {
  readonly fleet: string;
  /** ISO 8601. */
  readonly at: string;
  /** No problem anywhere: exit code 0. */
  readonly well: boolean;
  readonly temporal: { readonly reachable: boolean; readonly problem: string | null };
  readonly servers: readonly ServerStatus[];
  readonly databases: readonly DatabaseStatus[];
  readonly runbooks: readonly OpenRunbook[];
  /** What is not over. It makes nothing unwell. */
  readonly maintenance: readonly Maintenance[];
  /** Sentences, those of hosts and databases among them. */
  readonly problems: readonly string[];
}

export interface ServerStatus {
  readonly server: string;
  readonly hosts: readonly HostStatus[];
  /** Databases of which a process runs on one of its hosts, by the record. */
  readonly databases: readonly string[];
  /** Somebody watches its leaders. */
  readonly watched: boolean;
}

export interface HostStatus {
  readonly host: string;
  readonly zone: string;
  readonly address: string;
  /** `stale`: older than 30 s. What a stale report says is shown with its age, and not relied on. */
  readonly report: 'fresh' | 'stale' | 'none';
  readonly reportAge: number | null;
  /** As the host has it; `planned` is the memory that the fleet file gives Redis. */
  readonly memory: HostMemory | null;
  readonly planned: number;
  readonly diskAvailable: number | null;
  readonly processes: number;
  /** Until when its largest fork fits, and its memory lasts; null: too little is known. */
  readonly forecast: Pick<HostForecast, 'forks' | 'forkEnds' | 'memoryEnds'> | null;
}

export type ProcessState = 'running' | 'loading' | 'stopped' | 'unknown';

export interface ProcessStatus {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly state: ProcessState;
  /** What the process itself says it is; null where unknown. */
  readonly role: 'leader' | 'follower' | null;
  readonly usedMemory: number | null;
  readonly totalForks: number | null;
}

export interface DatabaseStatus {
  readonly database: string;
  readonly server: string;
  /** null: no record yet. */
  readonly epoch: number | null;
  readonly leader: ProcessStatus | null;
  readonly follower: ProcessStatus | null;
  /** Bytes that the follower is behind; null where it cannot be told. */
  readonly lag: number | null;
  readonly usedMemory: number | null;
  readonly maxmemory: number | null;
  readonly backup: { readonly at: string; readonly age: number } | null;
  /** The runbook that owns the database by its record, or that names it. */
  readonly runbook: {
    readonly workflowId: string;
    readonly type: string;
    readonly status: RunbookStatus | null;
    readonly since: string;
  } | null;
  /** What keeps it from being promoted automatically now; null: nothing. */
  readonly maintenance: string | null;
  readonly problems: readonly string[];
}

export function statusView(input: StatusInput): StatusView {
  const { fleet, records, unreadable, now } = input;
  const named = new Set(
    [...fleet.databases, ...unreadable.map(({ database }) => ({ name: database }))].map(nameOf),
  );
  const strangers = records.filter((record) => !named.has(record.database));
  const databases = [
    ...fleet.databases.map((database) => databaseStatus(input, database.name, database)),
    ...strangers.map((record) => databaseStatus(input, record.database, null)),
    ...unreadable
      .filter(({ database }) => fleet.databases.every(({ name }) => name !== database))
      .map(({ database }) => databaseStatus(input, database, null)),
  ];
  const forecasts = forecastsOf(input);
  const servers = fleet.servers.map((server): ServerStatus => {
    const hosts = server.hosts.map((host) => hostStatus(input, host, forecasts));
    const here = records.filter((record) => endpoints(record).some(({ host }) => isOn(server.hosts, host)));
    const watched = unwatched(server.name, input.watches, now) === null;
    return { server: server.name, hosts, databases: here.map(({ database }) => database), watched };
  });
  const unknown = 'unknown' in input.runbooks ? input.runbooks.unknown : null;
  const problems = [
    ...(unknown === null ? [] : [unknown]),
    ...servers.flatMap(({ hosts }) => hosts.flatMap(hostProblems)),
    ...memoryAlarms(forecasts, fleet.relocation).map(({ text }) => text),
    ...watchProblems(input),
    ...databases.flatMap((database) => database.problems),
    ...openRunbooks(input).flatMap(runbookProblems),
  ];
  return {
    fleet: fleet.name,
    at: new Date(now).toISOString(),
    well: problems.length === 0,
    temporal: { reachable: unknown === null, problem: unknown },
    servers,
    databases,
    runbooks: openRunbooks(input),
    maintenance: input.maintenance.filter((one) => !isOver(one, now)),
    problems,
  };
}

/** Of hosts whose agents report: what a silent one said last is no basis. */
export function forecastsOf(input: StatusInput): HostForecast[] {
  const { histories } = input;
  if (histories === undefined) return [];
  return forecastFleet(relocationState({ ...input, histories })).filter(({ host }) =>
    input.reports.some((report) => report.host === host && isFresh(report, input.now)),
  );
}

function hostStatus(
  { reports, now }: StatusInput,
  host: Host,
  forecasts: readonly HostForecast[],
): HostStatus {
  const forecast = forecasts.find((one) => one.host === host.name);
  const report = reports.find((candidate) => candidate.host === host.name);
  return {
    host: host.name,
    zone: host.zone,
    address: host.address,
    report: report === undefined ? 'none' : isFresh(report, now) ? 'fresh' : 'stale',
    reportAge: report === undefined ? null : ageOf(report.at, now),
    memory: report?.memory ?? null,
    planned: host.memory,
    diskAvailable: report?.diskAvailable ?? null,
    processes: report?.processes.filter(({ state }) => state === 'running').length ?? 0,
    forecast:
      forecast === undefined
        ? null
        : { forks: forecast.forks, forkEnds: forecast.forkEnds, memoryEnds: forecast.memoryEnds },
  };
}

function hostProblems({ host, report, reportAge }: HostStatus): string[] {
  const start = `start it there: redis-fleet agent --host ${host}`;
  if (report === 'none') return [`The agent of host ${host} has never reported; ${start}.`];
  if (report === 'fresh') return [];
  return [`The agent of host ${host} has not reported for ${String(reportAge ?? 0)} s; ${start}.`];
}

function databaseStatus(input: StatusInput, name: string, inFile: Database | null): DatabaseStatus {
  const { records, unreadable, backups, now } = input;
  const record = records.find((candidate) => candidate.database === name) ?? null;
  const broken = unreadable.find(({ database }) => database === name);
  const leader = record === null ? null : processStatus(input, name, record.leader);
  const follower = record?.follower ? processStatus(input, name, record.follower) : null;
  const backup = backups.find(({ database }) => database === name);
  return {
    database: name,
    server: record?.server ?? inFile?.server ?? '',
    epoch: record?.epoch ?? null,
    leader: leader?.status ?? null,
    follower: follower?.status ?? null,
    lag: lagOf(leader?.facts ?? null, follower?.facts ?? null),
    usedMemory: leader?.facts?.usedMemory ?? null,
    maxmemory: leader?.facts?.maxmemory ?? inFile?.maxmemory ?? null,
    backup: backup === undefined ? null : { at: backup.at, age: ageOf(backup.at, now) },
    runbook: runbookOf(input, name, record),
    maintenance: maintained(input, record),
    problems: broken === undefined ? databaseProblems(name, record, leader, follower) : [broken.problem],
  };
}

interface Seen {
  readonly status: ProcessStatus;
  /** Only from a fresh report. */
  readonly facts: ProcessFacts | null;
}

function processStatus({ reports, now }: StatusInput, database: string, endpoint: Endpoint): Seen {
  const { host, address, port } = endpoint;
  const report = reports.find((candidate) => candidate.host === host);
  const fresh = report !== undefined && isFresh(report, now);
  const process = fresh ? report.processes.find((one) => one.database === database) : undefined;
  const here = process !== undefined && sameEndpoint(process.endpoint, endpoint) ? process : undefined;
  const facts = here?.facts ?? null;
  const state: ProcessState = !fresh
    ? 'unknown'
    : here?.state !== 'running'
      ? 'stopped'
      : facts === null
        ? 'unknown'
        : facts.loading
          ? 'loading'
          : 'running';
  const seen = {
    role: facts?.role ?? null,
    usedMemory: facts?.usedMemory ?? null,
    totalForks: facts?.totalForks ?? null,
  };
  return { status: { host, address, port, state, ...seen }, facts };
}

/** Positions are comparable only within one replication history. The reports are of different moments: never negative. */
function lagOf(leader: ProcessFacts | null, follower: ProcessFacts | null): number | null {
  if (leader === null || follower === null || leader.position.id !== follower.position.id) return null;
  return Math.max(0, leader.position.offset - (follower.link?.offset ?? follower.position.offset));
}

function databaseProblems(
  name: string,
  record: DatabaseRecord | null,
  leader: Seen | null,
  follower: Seen | null,
): string[] {
  if (record === null || leader === null || record.epoch === 0) {
    const who =
      record?.operation === undefined ? 'run: redis-fleet apply' : `${record.operation.workflowId} is at it`;
    return [`Database ${name} has no leader yet; ${who}.`];
  }
  const bringUp = `run: redis-fleet bring-up ${name}`;
  const problems: string[] = [];
  const { state, role, host } = leader.status;
  if (state === 'stopped')
    problems.push(`The leader of ${name} on host ${host} is down: nobody takes its writes.`);
  if (role === 'follower') {
    problems.push(
      `The record says that ${name} is led on host ${host}, but the process there is a follower.`,
    );
  }
  if (follower === null) problems.push(`Database ${name} has no follower; ${bringUp}.`);
  else if (follower.status.state === 'stopped') {
    problems.push(`The follower of ${name} on host ${follower.status.host} is down; ${bringUp}.`);
  } else if (follower.facts !== null) {
    problems.push(...linkProblems(name, record.leader, follower.status.host, follower.facts));
  }
  return problems;
}

function linkProblems(name: string, leader: Endpoint, host: string, facts: ProcessFacts): string[] {
  const { link } = facts;
  const bringUp = `run: redis-fleet bring-up ${name}`;
  if (link === null)
    return [`The process of ${name} on host ${host} should follow, but it leads by itself; ${bringUp}.`];
  if (link.address !== leader.address || link.port !== leader.port) {
    return [
      `The follower of ${name} on host ${host} does not follow its leader on ${leader.host}; ${bringUp}.`,
    ];
  }
  if (!link.up) return [`The follower of ${name} on host ${host} has lost its leader; ${bringUp}.`];
  return [];
}

function runbookOf(
  input: StatusInput,
  name: string,
  record: DatabaseRecord | null,
): DatabaseStatus['runbook'] {
  const open = openRunbooks(input);
  const operation = record?.operation;
  if (operation !== undefined) {
    const { workflowId, type, since } = operation;
    const status = open.find((runbook) => runbook.workflowId === workflowId)?.status ?? null;
    return { workflowId, type, status, since };
  }
  const naming = open.find(({ databases }) => databases.includes(name));
  if (naming === undefined) return null;
  const { workflowId, type, status, startedAt } = naming;
  return { workflowId, type, status, since: startedAt };
}

function runbookProblems({ workflowId, status }: OpenRunbook): string[] {
  const show = `see: redis-fleet runbook show ${workflowId}`;
  if (status === 'stuck') return [`Runbook ${workflowId} is stuck; ${show}.`];
  return status === 'waiting' ? [`Runbook ${workflowId} waits for approval; ${show}.`] : [];
}

function openRunbooks({ runbooks }: StatusInput): readonly OpenRunbook[] {
  return 'unknown' in runbooks ? [] : runbooks;
}

function endpoints({ leader, follower, extraFollowers }: DatabaseRecord): Endpoint[] {
  return [leader, ...(follower === null ? [] : [follower]), ...(extraFollowers ?? [])];
}

function isOn(hosts: readonly Host[], name: string): boolean {
  return hosts.some((host) => host.name === name);
}

function ageOf(iso: string, now: number): number {
  return Math.max(0, Math.round((now - Date.parse(iso)) / 1_000));
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}
