/** Which process would run where, and what forbids it. Pure; a plan, a move and the fleet file share these rules. */

import type { Database, Fleet, Host } from './fleet.js';
import type { DatabaseRecord } from './record.js';
import { showSize } from './quantities.js';

/** A process on a host, real or intended. */
export interface PlacedProcess {
  readonly database: string;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** Bytes. */
  readonly maxmemory: number;
}

export type PlacementProblem =
  | {
      readonly kind: 'endpoint taken';
      readonly first: PlacedProcess;
      readonly second: PlacedProcess;
    }
  | {
      readonly kind: 'host full';
      readonly host: Host;
      /** Sum of maxmemory, bytes. */
      readonly needed: number;
    };

/** Where the fleet file puts every database: on both hosts of its server. Databases of unknown servers are left out. */
export function filePlacement(fleet: Pick<Fleet, 'servers' | 'databases'>): PlacedProcess[] {
  return fleet.databases.flatMap((database) => {
    const server = fleet.servers.find((candidate) => candidate.name === database.server);
    return (server?.hosts ?? []).map((host) => place(database, host));
  });
}

/** Where the databases are: by the record of those that have one, by the file of those that have none. */
export function actualPlacement(fleet: Fleet, records: readonly DatabaseRecord[]): PlacedProcess[] {
  const recorded = new Set(records.map((record) => record.database));
  const maxmemory = new Map(fleet.databases.map((database) => [database.name, database.maxmemory]));
  const real = records.flatMap((record) =>
    [record.leader, record.follower, ...(record.extraFollowers ?? [])].flatMap((endpoint) =>
      endpoint === null
        ? []
        : [{ database: record.database, ...endpoint, maxmemory: maxmemory.get(record.database) ?? 0 }],
    ),
  );
  return [...real, ...filePlacement(fleet).filter((process) => !recorded.has(process.database))];
}

/** Everything that forbids these processes to run together on these hosts. */
export function placementProblems(
  hosts: readonly Host[],
  processes: readonly PlacedProcess[],
): PlacementProblem[] {
  const problems: PlacementProblem[] = [];
  const taken = new Map<string, PlacedProcess>();
  for (const process of processes) {
    const endpoint = showAddress(process.address, process.port);
    const first = taken.get(endpoint);
    if (first === undefined) taken.set(endpoint, process);
    else problems.push({ kind: 'endpoint taken', first, second: process });
  }
  for (const host of hosts) {
    const needed = memoryNeeded(host, processes);
    if (needed > host.memory) problems.push({ kind: 'host full', host, needed });
  }
  return problems;
}

/**
 * Hosts on which every database fits, but not also a fork of the largest one: writes during a fork can cost as
 * much memory again as the database holds. Allowed, since databases are seldom full; worth a warning.
 */
export function forkWarnings(hosts: readonly Host[], processes: readonly PlacedProcess[]): string[] {
  return hosts.flatMap((host) => {
    const here = processes.filter((process) => process.host === host.name);
    const largest = here.reduce<PlacedProcess | null>(
      (most, process) => (most === null || process.maxmemory > most.maxmemory ? process : most),
      null,
    );
    const needed = memoryNeeded(host, processes);
    if (largest === null || needed > host.memory || needed + largest.maxmemory <= host.memory) return [];
    return [
      `Host ${host.name} (${showSize(host.memory)}) has room for its ${count(here.length, 'database')} ` +
        `(${showSize(needed)}), but not for a fork of ${largest.database} (up to ${showSize(largest.maxmemory)} ` +
        `more) when all are full: backups may then have to wait for headroom.`,
    ];
  });
}

/** Completes a sentence that begins with the name of the field, or of the database. */
export function placementProblemText(problem: PlacementProblem): string {
  if (problem.kind === 'host full') {
    return (
      `the maxmemory of all databases on host ${problem.host.name} is ${showSize(problem.needed)} together, and ` +
      `the host has ${showSize(problem.host.memory)}`
    );
  }
  const { first, second } = problem;
  return `${showAddress(second.address, second.port)} is taken by database ${first.database} on host ${first.host}`;
}

/** Both hosts of a pair in one zone would fail together. */
export function zoneProblem(a: Host, b: Host): string | null {
  if (a.name === b.name || a.zone !== b.zone) return null;
  return `host ${b.name} is in zone ${b.zone}, and so is ${a.name}: a failure of that zone would take both`;
}

export function hostsOf(fleet: Pick<Fleet, 'servers'>): Host[] {
  return fleet.servers.flatMap((server) => [...server.hosts]);
}

export function showAddress(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
}

export function count(n: number, noun: string): string {
  return `${String(n)} ${noun}${n === 1 ? '' : 's'}`;
}

function place(database: Database, host: Host): PlacedProcess {
  return {
    database: database.name,
    host: host.name,
    address: host.address,
    port: database.port,
    maxmemory: database.maxmemory,
  };
}

function memoryNeeded(host: Host, processes: readonly PlacedProcess[]): number {
  return processes
    .filter((process) => process.host === host.name)
    .reduce((sum, process) => sum + process.maxmemory, 0);
}
