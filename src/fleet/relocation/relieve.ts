/** Makes hosts safe by moving as few bytes off them as possible. Pure but for the world. */

import { reserveOf } from '../headroom.js';
import { cheapestCovers } from './covers.js';
import type { CoverItem, CoverNeed } from './covers.js';
import { listUnder } from './listUnder.js';
import { arrivingBytes, freedBytes, moveSeconds } from './moveCost.js';
import { availableAt, fullAt, usedAt } from './outlook.js';
import type { Resident } from './outlook.js';
import type { Pair, PlannedMove } from './plan.js';
import { placeAll } from './targets.js';
import { timeAll } from './timetable.js';
import type { Wanted } from './timetable.js';
import { leave, leavers, staysBecause } from './world.js';
import type { World } from './world.js';

export interface Relieved {
  readonly moves: readonly PlannedMove[];
  /** Hosts for which nothing was found, with a sentence each. */
  readonly unsafe: readonly { readonly host: string; readonly why: string }[];
}

/** How many sets of databases are tried for hosts that hang together, the cheapest first. */
const MOST_COVERS = 1_024;
const MOST_TRIES = 200;
const FEWER_COVERS = 32;
const FEWER_TRIES = 6;
const FEWER_STEPS = 800;
const SEARCH_STEPS = 4_000;
/** With more hosts in need there is less time for each. */
export const MANY_HOSTS = 16;

/** @param needy hosts that shall be safe until `until`; seconds, not after the world's end */
export function relieve(world: World, needy: readonly string[], until: number): Relieved {
  const moves: PlannedMove[] = [];
  const unsafe: { host: string; why: string }[] = [];
  const groups = groupsOf(world, needy).sort((a, b) => endOf(world, a) - endOf(world, b));
  const many = needy.length > MANY_HOSTS;
  const limits = many
    ? { covers: FEWER_COVERS, tries: FEWER_TRIES, steps: FEWER_STEPS }
    : { covers: MOST_COVERS, tries: MOST_TRIES, steps: SEARCH_STEPS };
  for (const group of groups) {
    const found = relieveGroup(world, group, { needy: new Set(needy), until, limits });
    if ('moves' in found) moves.push(...found.moves);
    else unsafe.push(...group.map((host) => ({ host, why: found.why })));
  }
  return { moves, unsafe };
}

/**
 * What can be moved off hosts for which no way to safety was found, the most helpful first: it gains time, and makes room
 * for the next plan.
 */
export function easeOff(world: World, hosts: readonly string[]): PlannedMove[] {
  const { residents } = candidates(world, hosts);
  const byRelief = residents.toSorted((a, b) => b.database.usedMemory - a.database.usedMemory);
  return byRelief.flatMap((resident) => {
    const places = placeAll(world, [resident]);
    if (places === null) return [];
    const timed = timeAll(world, wantedOf(world, [resident], places, hosts), new Set(hosts));
    if (timed !== null) return timed;
    for (const [database, to] of places) leave(world, database, to);
    return [];
  });
}

/** Hosts that share a database are relieved together. */
function groupsOf(world: World, needy: readonly string[]): string[][] {
  const group = new Map(needy.map((host) => [host, host]));
  const root = (host: string): string => {
    let at = host;
    for (let up = group.get(at); up !== undefined && up !== at; up = group.get(at)) at = up;
    return at;
  };
  const first = new Map<string, string>();
  for (const host of needy) {
    for (const { database } of world.hosts.get(host)?.outlook.residents ?? []) {
      const other = first.get(database.name);
      if (other === undefined) first.set(database.name, host);
      else group.set(root(host), root(other));
    }
  }
  const groups = new Map<string, string[]>();
  for (const host of needy) listUnder(groups, root(host), host);
  return [...groups.values()];
}

/** Roughly when the first of them is full: who has least time is planned for first. */
function endOf(world: World, hosts: readonly string[]): number {
  return Math.min(
    ...hosts.map((name) => {
      const outlook = world.hosts.get(name)?.outlook;
      if (outlook === undefined) return Number.POSITIVE_INFINITY;
      const rate = outlook.residents.reduce(
        (sum, { database }) => sum + (fullAt(database, 'high') > 0 ? Math.max(0, database.growth.high) : 0),
        Math.max(0, outlook.host.otherGrowth.high),
      );
      return rate > 0 ? outlook.host.memory.available / rate : Number.POSITIVE_INFINITY;
    }),
  );
}

interface Search {
  readonly needy: ReadonlySet<string>;
  readonly until: number;
  readonly limits: { readonly covers: number; readonly tries: number; readonly steps: number };
}

function relieveGroup(
  world: World,
  group: readonly string[],
  { needy, until, limits }: Search,
): { readonly moves: readonly PlannedMove[] } | { readonly why: string } {
  const { residents, stay } = candidates(world, group);
  const items = residents.map((resident) => itemOf(resident, group, until));
  const covers = cheapestCovers(
    items,
    group.map((host) => needOf(world, host, until, residents)),
    { most: limits.covers, steps: limits.steps },
  );
  const blocked = stay.length === 0 ? '' : ` ${sentence(stay)}`;
  if (covers.length === 0) {
    return { why: `Whatever may leave ${group.join(' and ')} is not enough.${blocked}` };
  }
  let placed = false;
  for (const cover of covers.slice(0, limits.tries)) {
    const leaving = cover.flatMap((index) => residents[index] ?? []);
    const places = placeAll(world, leaving);
    if (places === null) continue;
    placed = true;
    const moves = timeAll(world, wantedOf(world, leaving, places, group), needy);
    if (moves !== null) return { moves };
    for (const [database, to] of places) leave(world, database, to);
  }
  const names = group.join(' and ');
  return {
    why: placed
      ? `What would have to leave ${names} cannot be moved before it is too late: a fork on the follower's host does not fit, or memory ends first.${blocked}`
      : `No server has room for what would have to leave ${names}.${blocked}`,
  };
}

function candidates(
  world: World,
  group: readonly string[],
): { readonly residents: readonly Resident[]; readonly stay: readonly string[] } {
  const residents = new Map<string, Resident>();
  const stay = new Map<string, string>();
  for (const host of group) {
    const gone = leavers(world, host);
    for (const resident of world.hosts.get(host)?.outlook.residents ?? []) {
      const { name } = resident.database;
      if (gone.has(name) || residents.has(name)) continue;
      const why = staysBecause(world, resident.database);
      if (why === null) residents.set(name, resident);
      else stay.set(name, why);
    }
  }
  return { residents: [...residents.values()], stay: [...stay.values()] };
}

function itemOf({ database, forkShare }: Resident, group: readonly string[], until: number): CoverItem {
  const isOn = (host: string): boolean => database.leader.host === host || database.follower?.host === host;
  const frees = freedBytes(database, until);
  const fork = forkShare * usedAt(database, until, 'high');
  return {
    cost: database.usedMemory,
    frees: group.map((host) => (isOn(host) ? frees : 0)),
    forks: group.map((host) => (isOn(host) ? fork : 0)),
  };
}

/** What a host has and needs then, with what is decided already. @param free may leave beside that */
export function needOf(world: World, name: string, until: number, free: readonly Resident[] = []): CoverNeed {
  const host = world.hosts.get(name);
  if (host === undefined) return { free: 0, fork: 0 };
  const gone = leavers(world, name);
  const movable = new Set(free.map(({ database }) => database.name));
  let left = availableAt(host.outlook, until, 'high') - reserveOf(host.outlook.host.memory);
  let fork = 0;
  for (const { database, forkShare } of host.outlook.residents) {
    if (gone.has(database.name)) left += freedBytes(database, until);
    else if (!movable.has(database.name)) {
      fork = Math.max(fork, forkShare * usedAt(database, until, 'high'));
    }
  }
  for (const arrival of host.arrivals) {
    left -= arrival.bytes;
    fork = Math.max(fork, arrival.fork);
  }
  return { free: left, fork };
}

export function wantedOf(
  world: World,
  residents: readonly Resident[],
  places: ReadonlyMap<string, Pair>,
  relieved: readonly string[],
): Wanted[] {
  return residents.flatMap((resident): Wanted[] => {
    const { database } = resident;
    const { name, server, leader, follower } = database;
    const to = places.get(name);
    if (to === undefined || follower === null) return [];
    const times = [leader.host, follower.host].filter((host) => relieved.includes(host)).length;
    return [
      {
        resident,
        from: { server, leader, follower },
        to,
        relief: (Math.max(1, times) * arrivingBytes(database, 0)) / moveSeconds(database, 0, world.options),
      },
    ];
  });
}

const MOST_NAMED = 3;

/** `a is owned by …; b has no follower …; and 3 more stay as well.` */
function sentence(reasons: readonly string[]): string {
  const rest = reasons.length - MOST_NAMED;
  const more = rest > 0 ? `; and ${String(rest)} more stay as well` : '';
  return `${reasons.slice(0, MOST_NAMED).join('; ')}${more}.`;
}
