/** The least that could be moved, by trying everything: every set of databases, every place, every order. Slow. */

import { moveSeconds } from '../../src/fleet/relocation/moveCost.js';
import type { Pair, PlannedMove, PlannerOptions } from '../../src/fleet/relocation/plan.js';
import { simulate } from '../../src/fleet/relocation/simulate.js';
import type { DatabaseState, RelocationState } from '../../src/fleet/relocation/state.js';

export interface Wanted {
  readonly needy: readonly string[];
  readonly horizon: number;
  /** Only sets that cost less are of interest. */
  readonly below: number;
}

/** Bytes; null: nothing below that works. */
export function leastBytes(
  state: RelocationState,
  { needy, horizon, below }: Wanted,
  options: PlannerOptions,
): number | null {
  const movable = state.databases.filter(
    ({ busy, follower, leader }) =>
      busy === null && [leader.host, follower?.host ?? ''].some((host) => needy.includes(host)),
  );
  const sets = subsets(movable)
    .map((set) => ({ set, cost: set.reduce((sum, { usedMemory }) => sum + usedMemory, 0) }))
    .filter(({ set, cost }) => set.length > 0 && cost < below)
    .sort((a, b) => a.cost - b.cost);
  for (const { set, cost } of sets) {
    for (const order of permutations(set)) {
      for (const places of combinations(order.map((database) => targets(state, database)))) {
        const moves = oneByOne(order, places, options);
        if (moves.some(({ end }) => end > horizon)) continue;
        const claim = { safe: needy, safeUntil: horizon, until: horizon };
        if (simulate(state, moves, claim, options).violations.length === 0) return cost;
      }
    }
  }
  return null;
}

/** Each begins as soon as its hosts are free of the ones before it. */
function oneByOne(
  order: readonly DatabaseState[],
  places: readonly Pair[],
  options: PlannerOptions,
): PlannedMove[] {
  const moves: PlannedMove[] = [];
  order.forEach((database, index) => {
    const { name, server, leader, follower, usedMemory } = database;
    const to = places[index];
    if (to === undefined || follower === null) return;
    const mine = [follower.host, to.leader.host, to.follower.host];
    const start = Math.max(
      moves.at(-1)?.start ?? 0,
      ...moves
        .filter(({ from, to: other }) =>
          [from.follower.host, other.leader.host, other.follower.host].some((host) => mine.includes(host)),
        )
        .map(({ end }) => end),
    );
    const end = start + moveSeconds(database, start, options);
    moves.push({ database: name, bytes: usedMemory, from: { server, leader, follower }, to, start, end });
  });
  return moves;
}

let port = 20_000;

/** Every other server, with ports that nobody has. */
function targets(state: RelocationState, database: DatabaseState): Pair[] {
  const servers = [...new Set(state.hosts.map(({ server }) => server))];
  return servers.flatMap((server): Pair[] => {
    const [a, b] = state.hosts.filter((host) => host.server === server);
    if (a === undefined || b === undefined || server === database.server) return [];
    port += 1;
    return [
      {
        server,
        leader: { host: a.name, address: a.address, port },
        follower: { host: b.name, address: b.address, port },
      },
    ];
  });
}

function subsets<T>(items: readonly T[]): T[][] {
  return items.reduce<T[][]>((all, item) => [...all, ...all.map((one) => [...one, item])], [[]]);
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.toSpliced(index, 1)).map((rest) => [item, ...rest]),
  );
}

function combinations<T>(choices: readonly (readonly T[])[]): T[][] {
  return choices.reduce<T[][]>((all, some) => all.flatMap((one) => some.map((item) => [...one, item])), [[]]);
}
