/** From what agents, records and engineers said to what the planner sees. Pure. */

import type { HostProcess, HostReport, ProcessFacts } from '../facts.js';
import type { Fleet, Host } from '../fleet.js';
import { isOver, maintenanceText } from '../maintenance.js';
import type { Maintenance } from '../maintenance.js';
import { showDuration } from '../quantities.js';
import type { DatabaseRecord, Endpoint } from '../record.js';
import { isFresh } from '../reportAge.js';
import { lastForks } from './forks.js';
import { growthOf } from './growth.js';
import type { Point } from './growth.js';
import { listUnder } from './listUnder.js';
import type {
  DatabaseState,
  ForkSample,
  HostState,
  MemoryHistory,
  ProcessSample,
  RelocationState,
  Spread,
} from './state.js';

export interface Observed {
  readonly fleet: Fleet;
  readonly records: readonly DatabaseRecord[];
  readonly reports: readonly HostReport[];
  readonly histories: readonly MemoryHistory[];
  readonly maintenance: readonly Maintenance[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** In less time what is no database's only jitters. */
const SHORTEST_SPAN_MS = 60_000;
const STILL: Spread = { low: 0, expected: 0, high: 0 };

/** A host that never reported is left out; databases on it are then not free to move. */
export function relocationState(observed: Observed): RelocationState {
  const reports = new Map(observed.reports.map((report) => [report.host, report]));
  const histories = new Map(observed.histories.map((history) => [history.host, history]));
  const seen = new Map<string, Process>();
  for (const { processes } of observed.reports) {
    for (const process of processes) seen.set(endpointKey(process.endpoint), process);
  }
  const series = seriesByDatabase(observed.histories);
  const forks = lastForks(observed.histories);
  const ports = portsByHost(observed);
  const maxmemory = new Map(observed.fleet.databases.map((database) => [database.name, database.maxmemory]));
  return {
    hosts: observed.fleet.servers.flatMap(({ name: server, hosts }) =>
      hosts.flatMap((host): HostState[] => {
        const report = reports.get(host.name);
        if (report === undefined) return [];
        const history = histories.get(host.name) ?? null;
        return [
          {
            name: host.name,
            zone: host.zone,
            address: host.address,
            server,
            closed: closedBecause(host, report, observed),
            memory: { ...report.memory, limitedBy: history?.limitedBy ?? 'budget' },
            cores: history?.cores ?? 1,
            takenPorts: [...(ports.get(host.name) ?? [])].sort((a, b) => a - b),
            otherGrowth: otherGrowth(history, report.memory),
          },
        ];
      }),
    ),
    databases: observed.records.map((record) =>
      databaseState(record, {
        leader: seen.get(endpointKey(record.leader)) ?? null,
        follower: record.follower === null ? null : (seen.get(endpointKey(record.follower)) ?? null),
        maxmemory: maxmemory.get(record.database) ?? 0,
        series: series.get(record.database) ?? NOTHING,
        forks: forks.get(record.database) ?? [],
      }),
    ),
  };
}

type Process = HostProcess & { readonly facts: ProcessFacts | null };

interface SeenDatabase {
  readonly leader: Process | null;
  readonly follower: Process | null;
  readonly maxmemory: number;
  readonly series: Series;
  readonly forks: readonly ForkSample[];
}

function databaseState(record: DatabaseRecord, seen: SeenDatabase): DatabaseState {
  const { database, server, leader, follower, extraFollowers = [] } = record;
  const facts = seen.leader?.facts ?? seen.follower?.facts ?? null;
  const maxmemory = facts?.maxmemory ?? seen.maxmemory;
  const usedMemory = facts?.usedMemory ?? maxmemory;
  const resident = [seen.leader, seen.follower].map(
    (process) => process?.residentMemory ?? process?.facts?.residentMemory ?? 0,
  );
  const writeRate = Math.max(0, growthOf(seen.series.offset)?.expected ?? 0);
  return {
    name: database,
    server,
    leader,
    follower,
    extraFollowers,
    usedMemory,
    residentMemory: Math.max(usedMemory, ...resident),
    maxmemory,
    // Too few samples to say: what is written is the most that it can have grown by.
    growth: growthOf(seen.series.used) ?? { low: 0, expected: 0, high: writeRate },
    writeRate,
    forks: seen.forks,
    busy: busyBecause(record, facts),
  };
}

function busyBecause(
  { epoch, operation, leader }: DatabaseRecord,
  facts: ProcessFacts | null,
): string | null {
  if (operation !== undefined) return `owned by ${operation.type}, workflow ${operation.workflowId}`;
  if (epoch === 0) return 'still being provisioned';
  return facts === null ? `its processes did not answer the agent of ${leader.host}` : null;
}

function closedBecause(host: Host, report: HostReport, { maintenance, now }: Observed): string | null {
  const covering = maintenance.find(
    (one) => one.scope === 'host' && one.name === host.name && !isOver(one, now),
  );
  if (covering !== undefined) return maintenanceText(covering);
  if (isFresh(report, now)) return null;
  return `its agent has said nothing for ${showDuration(Math.max(0, now - Date.parse(report.at)))}`;
}

/** Ports of every process that there is, and of those that a record has there. */
function portsByHost({ reports, records }: Observed): Map<string, Set<number>> {
  const ports = new Map<string, Set<number>>();
  const take = ({ host, port }: Endpoint): void => {
    const known = ports.get(host);
    if (known === undefined) ports.set(host, new Set([port]));
    else known.add(port);
  };
  for (const { processes } of reports) for (const { endpoint } of processes) take(endpoint);
  for (const { leader, follower, extraFollowers = [] } of records) {
    take(leader);
    if (follower !== null) take(follower);
    extraFollowers.forEach(take);
  }
  return ports;
}

interface Series {
  readonly used: Point[][];
  readonly offset: Point[][];
}

const NOTHING: Series = { used: [], offset: [] };

/**
 * Of leaders only: a follower that is being fed grows by all there is, and that is no growth. One series for each life
 * of a process: what a restart or a move changed is no growth either.
 */
function seriesByDatabase(histories: readonly MemoryHistory[]): Map<string, Series> {
  const found = new Map<string, Map<string, ProcessSample[]>>();
  const times = new Map<ProcessSample, number>();
  for (const { host, samples } of histories) {
    for (const { at, processes } of samples) {
      for (const process of processes) {
        if (process.role !== 'leader') continue;
        times.set(process, at);
        const lives = found.get(process.database) ?? new Map<string, ProcessSample[]>();
        found.set(process.database, lives);
        listUnder(lives, `${host}:${String(process.port)}/${process.run}`, process);
      }
    }
  }
  const points = (lives: Iterable<ProcessSample[]>, value: (process: ProcessSample) => number): Point[][] =>
    [...lives].map((life) => life.map((process) => ({ at: times.get(process) ?? 0, value: value(process) })));
  return new Map(
    [...found].map(([database, lives]) => [
      database,
      {
        used: points(lives.values(), ({ usedMemory }) => usedMemory),
        offset: points(lives.values(), ({ offset }) => offset),
      },
    ]),
  );
}

/** What is used on the host and is no database's. That it shrinks is not relied on. */
function otherGrowth(history: MemoryHistory | null, { total }: HostReport['memory']): Spread {
  const samples = history?.samples ?? [];
  // Under another limit something else was counted: a new cgroup is not what the whole machine was.
  const changed = samples.findLastIndex(({ memory }) => memory.total !== total);
  const points = samples.slice(changed + 1).map(({ at, memory, processes }): Point => {
    const resident = processes.reduce((sum, process) => sum + process.residentMemory, 0);
    return { at, value: Math.max(0, memory.total - memory.available - resident) };
  });
  const span = (points.at(-1)?.at ?? 0) - (points[0]?.at ?? 0);
  const growth = span < SHORTEST_SPAN_MS ? null : growthOf([points]);
  if (growth === null) return STILL;
  return {
    low: Math.max(0, growth.low),
    expected: Math.max(0, growth.expected),
    high: Math.max(0, growth.high),
  };
}

function endpointKey({ host, port }: Endpoint): string {
  return `${host}:${String(port)}`;
}
