/**
 * What the planner keeps in mind while it plans: the fleet as it would be when the moves that are decided have ended.
 * Mutable, for one planning only. Times are seconds from now, growth is at the high end of its spread.
 */

import { reserveOf } from '../headroom.js';
import { listUnder } from './listUnder.js';
import { arrivingBytes, moveSeconds, processLimit } from './moveCost.js';
import { availableAt, hostsOfDatabase, largestFork, outlooks, usedAt } from './outlook.js';
import type { HostOutlook, Resident } from './outlook.js';
import type { Pair, PlannedMove, PlannerOptions } from './plan.js';
import type { DatabaseState, HostState, RelocationState } from './state.js';

export interface Arrival {
  readonly database: string;
  readonly bytes: number;
  /** For a fork of it. */
  readonly fork: number;
  readonly port: number;
}

export interface PlannedHost {
  readonly outlook: HostOutlook;
  /** At the end of the horizon, beside the reserve, if nothing moved. */
  readonly free: number;
  /** The largest fork then. */
  readonly fork: number;
  readonly limit: number;
  readonly ports: ReadonlySet<number>;
  readonly arrivals: Arrival[];
  /** Sum and maximum over the arrivals. */
  arriving: number;
  arrivingFork: number;
  /** Decided moves that it gives or gets something in. */
  readonly moves: PlannedMove[];
}

/** A server as a place to go to. */
export interface PlannedServer {
  readonly name: string;
  readonly hosts: readonly [PlannedHost, PlannedHost];
}

export interface World {
  readonly state: RelocationState;
  readonly options: PlannerOptions;
  /** Until when hosts shall be safe. */
  readonly until: number;
  readonly hosts: ReadonlyMap<string, PlannedHost>;
  /** Those that take databases at all. */
  readonly servers: readonly PlannedServer[];
  readonly databases: ReadonlyMap<string, Resident>;
  /** Decided, and under way. */
  readonly moves: PlannedMove[];
}

/** @param closed hosts that take nothing, beside those that say so themselves */
export function worldOf(
  state: RelocationState,
  options: PlannerOptions,
  until: number,
  closed: ReadonlySet<string>,
): World {
  const hosts = new Map<string, PlannedHost>();
  const databases = new Map<string, Resident>();
  for (const [name, outlook] of outlooks(state)) {
    for (const resident of outlook.residents) databases.set(resident.database.name, resident);
    hosts.set(name, {
      outlook,
      free: availableAt(outlook, until, 'high') - reserveOf(outlook.host.memory),
      fork: largestFork(outlook.residents, until, 'high')?.bytes ?? 0,
      limit: processLimit(outlook.host.cores, options),
      ports: new Set(outlook.host.takenPorts),
      arrivals: [],
      arriving: 0,
      arrivingFork: 0,
      moves: [],
    });
  }
  const world: World = {
    state,
    options,
    until,
    hosts,
    servers: openServers(state.hosts, hosts, closed),
    databases,
    moves: [],
  };
  for (const move of options.underWay) {
    arrive(world, move.database, move.to);
    decide(world, move);
  }
  return world;
}

function openServers(
  all: readonly HostState[],
  hosts: ReadonlyMap<string, PlannedHost>,
  closed: ReadonlySet<string>,
): PlannedServer[] {
  const pairs = new Map<string, PlannedHost[]>();
  for (const host of all) {
    const planned = hosts.get(host.name);
    if (planned !== undefined) listUnder(pairs, host.server, planned);
  }
  return [...pairs].flatMap(([name, [a, b]]): PlannedServer[] => {
    if (a === undefined || b === undefined) return [];
    const [one, other] = [a.outlook.host, b.outlook.host];
    const open = [one, other].every((host) => host.closed === null && !closed.has(host.name));
    return open && one.zone !== other.zone ? [{ name, hosts: [a, b] }] : [];
  });
}

/** From now on its hosts are busy with it at its time. Room for it was kept before. */
export function decide(world: World, move: PlannedMove): void {
  world.moves.push(move);
  for (const name of involved(move)) world.hosts.get(name)?.moves.push(move);
}

export function undecide(world: World, move: PlannedMove): void {
  remove(world.moves, move);
  for (const name of involved(move)) {
    const host = world.hosts.get(name);
    if (host !== undefined) remove(host.moves, move);
  }
}

/** Room is kept for it on both hosts, from now on. */
export function arrive(world: World, database: string, to: Pair): void {
  const resident = world.databases.get(database);
  if (resident === undefined) return;
  for (const { host, port } of [to.leader, to.follower]) {
    const planned = world.hosts.get(host);
    if (planned === undefined) continue;
    planned.arrivals.push({
      database,
      bytes: arrivingBytes(resident.database, world.until),
      fork: resident.forkShare * usedAt(resident.database, world.until, 'high'),
      port,
    });
    addUp(planned);
  }
}

export function leave(world: World, database: string, to: Pair): void {
  for (const { host } of [to.leader, to.follower]) {
    const planned = world.hosts.get(host);
    const index = planned?.arrivals.findIndex((arrival) => arrival.database === database) ?? -1;
    if (planned === undefined || index < 0) continue;
    planned.arrivals.splice(index, 1);
    addUp(planned);
  }
}

/** What is left at the end of the horizon beside a fork of the largest, with all that arrives; negative: not safe. */
export function spareOf({ free, fork, arriving, arrivingFork }: PlannedHost): number {
  return free - arriving - Math.max(fork, arrivingFork);
}

function addUp(host: PlannedHost): void {
  host.arriving = host.arrivals.reduce((sum, { bytes }) => sum + bytes, 0);
  host.arrivingFork = host.arrivals.reduce((most, { fork }) => Math.max(most, fork), 0);
}

/** Would it stay safe with one more, and has it a place for it? What leaves it is not counted on. */
export function hasRoomFor(host: PlannedHost, bytes: number, fork: number): boolean {
  const { free, arrivals, arriving, arrivingFork, limit, outlook } = host;
  if (outlook.residents.length + arrivals.length >= limit) return false;
  return free - arriving - bytes >= Math.max(host.fork, arrivingFork, fork);
}

export function hasPort({ ports, arrivals }: PlannedHost, port: number): boolean {
  return ports.has(port) || arrivals.some((arrival) => arrival.port === port);
}

/** Why it stays where it is; null: it is free to move. */
export function staysBecause(world: World, database: DatabaseState): string | null {
  const { name, busy, follower, extraFollowers } = database;
  if (busy !== null) return `${name} is ${busy}`;
  if (follower === null) return `${name} has no follower to copy it from`;
  const [extra] = extraFollowers;
  if (extra !== undefined) return `${name} has a further follower, on ${extra.host}`;
  const unknown = hostsOfDatabase(database).find((host) => !world.hosts.has(host));
  if (unknown !== undefined) return `${name} has a process on ${unknown}, of which nothing is known`;
  if (!Number.isFinite(moveSeconds(database, 0, world.options))) {
    return `${name} is written faster than it can be copied`;
  }
  return null;
}

/** Of the moves that are decided, those after which a database is no longer on this host. */
export function leavers(world: World, host: string): ReadonlySet<string> {
  const moves = world.hosts.get(host)?.moves ?? [];
  return new Set(
    moves
      .filter(({ to }) => to.leader.host !== host && to.follower.host !== host)
      .map(({ database }) => database),
  );
}

function involved({ from, to }: PlannedMove): Set<string> {
  return new Set([from.leader.host, from.follower.host, to.leader.host, to.follower.host]);
}

function remove<T>(list: T[], item: T): void {
  const index = list.lastIndexOf(item);
  if (index >= 0) list.splice(index, 1);
}
