/** Evens out how full the servers are, by few moves. Pure but for the world. */

import { arrivingBytes, freedBytes, moveSeconds } from './moveCost.js';
import { hostsOfDatabase, usedAt } from './outlook.js';
import type { Resident } from './outlook.js';
import type { PlannedMove } from './plan.js';
import { pairOn } from './targets.js';
import { timeAll } from './timetable.js';
import { arrive, hasRoomFor, leave, leavers, staysBecause } from './world.js';
import type { PlannedServer, World } from './world.js';

export const DEFAULT_TOLERANCE = 0.05;

export interface Rebalanced {
  readonly moves: readonly PlannedMove[];
  /** The largest distance of a server's used share from the mean, before and after. */
  readonly before: number;
  readonly after: number;
  /** It was within the tolerance before. */
  readonly isEven: boolean;
}

/** Used shares now, as if every decided move had ended. */
class Shares {
  readonly #used = new Map<string, number>();
  readonly #total = new Map<string, number>();

  constructor(readonly servers: readonly PlannedServer[]) {
    for (const server of servers) {
      const [a, b] = server.hosts.map(({ outlook }) => outlook.host.memory);
      if (a === undefined || b === undefined) continue;
      // The fuller of the two is what the server has to be judged by.
      const fuller = a.available / a.total < b.available / b.total ? a : b;
      this.#total.set(server.name, fuller.total);
      this.#used.set(server.name, fuller.total - fuller.available);
    }
  }

  of(server: string): number {
    return (this.#used.get(server) ?? 0) / (this.#total.get(server) ?? 1);
  }

  total(server: string): number {
    return this.#total.get(server) ?? 1;
  }

  move(from: string, to: string, bytes: number): void {
    this.#used.set(from, (this.#used.get(from) ?? 0) - bytes);
    this.#used.set(to, (this.#used.get(to) ?? 0) + bytes);
  }

  get mean(): number {
    const sum = (of: Map<string, number>): number => [...of.values()].reduce((all, one) => all + one, 0);
    return sum(this.#used) / Math.max(1, sum(this.#total));
  }

  get distance(): number {
    const { mean } = this;
    return Math.max(0, ...this.servers.map(({ name }) => Math.abs(this.of(name) - mean)));
  }
}

export function rebalance(world: World, tolerance = DEFAULT_TOLERANCE): Rebalanced {
  const shares = new Shares(world.servers);
  const { mean, distance: before } = shares;
  const moves: PlannedMove[] = [];
  const moved = new Set<string>();
  const given = new Set<string>();
  while (moves.length < world.options.mostMoves) {
    const sorted = world.servers
      .filter(({ name }) => !given.has(name))
      .toSorted((a, b) => shares.of(b.name) - shares.of(a.name));
    const [fullest] = sorted;
    const emptiest = world.servers.toSorted((a, b) => shares.of(a.name) - shares.of(b.name));
    if (fullest === undefined || shares.of(fullest.name) <= mean) break;
    if (shares.distance <= tolerance) break;
    const move = bestMove(world, fullest, emptiest, { shares, mean, tolerance, moved });
    if (move === null) {
      given.add(fullest.name);
      continue;
    }
    moves.push(move);
    moved.add(move.database);
    shares.move(fullest.name, move.to.server, move.bytes);
  }
  return { moves, before, after: shares.distance, isEven: before <= tolerance };
}

interface Balance {
  readonly shares: Shares;
  readonly mean: number;
  readonly tolerance: number;
  readonly moved: ReadonlySet<string>;
}

/** The largest that takes its server no further below the mean, and its new one no further above, than is tolerated. */
function bestMove(
  world: World,
  from: PlannedServer,
  emptiest: readonly PlannedServer[],
  { shares, mean, tolerance, moved }: Balance,
): PlannedMove | null {
  const excess = (shares.of(from.name) - mean) * shares.total(from.name);
  const candidates = residentsOf(world, from)
    .filter(({ database }) => !moved.has(database.name) && staysBecause(world, database) === null)
    .filter(({ database }) => freedBytes(database, 0) <= excess + tolerance * shares.total(from.name))
    .toSorted((a, b) => freedBytes(b.database, 0) - freedBytes(a.database, 0));
  for (const resident of candidates) {
    const { database } = resident;
    const bytes = arrivingBytes(database, world.until);
    const fork = resident.forkShare * usedAt(database, world.until, 'high');
    const here = hostsOfDatabase(database);
    for (const to of emptiest.slice(0, MOST_CHOICES)) {
      const after = shares.of(to.name) + arrivingBytes(database, 0) / shares.total(to.name);
      if (after > mean + tolerance || after >= shares.of(from.name)) break;
      const fits = to.hosts.every(
        (host) => !here.includes(host.outlook.host.name) && hasRoomFor(host, bytes, fork),
      );
      const move = fits ? moveTo(world, resident, to) : null;
      if (move !== null) return move;
    }
  }
  return null;
}

const MOST_CHOICES = 8;

function residentsOf(world: World, { hosts: [a, b] }: PlannedServer): Resident[] {
  const gone = leavers(world, a.outlook.host.name);
  const other = new Set(b.outlook.residents.map(({ database }) => database.name));
  return a.outlook.residents.filter(({ database: { name } }) => other.has(name) && !gone.has(name));
}

function moveTo(world: World, resident: Resident, to: PlannedServer): PlannedMove | null {
  const { database } = resident;
  const { name, server, leader, follower } = database;
  const [pair] = pairOn(world, to, resident);
  if (pair === undefined || follower === null) return null;
  arrive(world, name, pair);
  const wanted = {
    resident,
    from: { server, leader, follower },
    to: pair,
    relief: 1 / moveSeconds(database, 0, world.options),
  };
  const timed = timeAll(world, [wanted], new Set());
  if (timed !== null) return timed[0] ?? null;
  leave(world, name, pair);
  return null;
}
