/**
 * A second opinion on a plan, as naive as can be: it walks through time in steps, adds up from nothing what every host
 * holds, and knows neither the planner nor the simulation that proves its plans.
 */

import { copyOnWriteShare } from '../../src/fleet/headroom.js';
import type { PlannedMove } from '../../src/fleet/relocation/plan.js';
import type { DatabaseState, RelocationState } from '../../src/fleet/relocation/state.js';

export interface Walk {
  /** Must not run out of memory, and be safe from the end of the moves. */
  readonly needy: readonly string[];
  readonly until: number;
  readonly steps: number;
  /** Where in its spread each database's growth is, by its index: 0 low, 1 high. */
  readonly pace: (database: number) => number;
}

const RESERVE = 0.05;
const PAUSED_RESERVE = 0.02;
const PAUSED_SHARE = 0.01;
const PAUSED_LEAST = 8 * 1024 ** 2;
const ROUNDING = 1_024;

/** A sentence for each thing that goes wrong. */
export function troubles(state: RelocationState, moves: readonly PlannedMove[], walk: Walk): string[] {
  const found = new Set<string>(standing(state, moves));
  const ended = Math.max(0, ...moves.map(({ end }) => end));
  const last = Math.max(walk.until, ended);
  const times = Array.from({ length: walk.steps + 1 }, (_, n) => (n * last) / walk.steps);
  for (const { start, end } of moves) times.push(start + 1e-6, end - 1e-6, end + 1e-6);
  for (const host of state.hosts) {
    const { name, memory } = host;
    const receives = moves.some(({ to }) => to.leader.host === name || to.follower.host === name);
    const needy = walk.needy.includes(name);
    // However fast it grows: the plan cannot know.
    const safeAnyway = times.every((at) => {
      const then = holds(state, [], name, at, () => 1);
      return then.free - RESERVE * memory.total - then.fork >= 0;
    });
    for (const at of times) {
      const { free, fork, giving } = holds(state, moves, name, at, walk.pace);
      const beside = free - RESERVE * memory.total + ROUNDING;
      if (free <= 0 && (needy || holds(state, [], name, at, walk.pace).free > 0)) {
        found.add(`${name} runs out of memory`);
      }
      if (beside < fork && (receives || safeAnyway)) found.add(`${name} was safe, and is not`);
      if (beside < fork && needy && at > ended) found.add(`${name} is not safe in the end`);
      if (giving.length > 1) found.add(`${name} forks twice at once`);
      for (const { name: moving, need, reserve } of giving) {
        if (free - reserve * memory.total + ROUNDING < need)
          found.add(`the fork that moves ${moving} does not fit on ${name}`);
      }
    }
  }
  return [...found];
}

function usedThen(database: DatabaseState, at: number, pace: number): number {
  const { low, high } = database.growth;
  const grown = database.usedMemory + Math.max(0, low + (high - low) * pace) * at;
  return database.maxmemory > 0 ? Math.min(grown, Math.max(database.maxmemory, database.usedMemory)) : grown;
}

interface Holds {
  readonly free: number;
  readonly fork: number;
  /** `reserve`: what must stay free beside the fork. */
  readonly giving: readonly { readonly name: string; readonly need: number; readonly reserve: number }[];
}

function holds(
  state: RelocationState,
  moves: readonly PlannedMove[],
  host: string,
  at: number,
  pace: Walk['pace'],
): Holds {
  const { memory, otherGrowth } = state.hosts.find(({ name }) => name === host) ?? { memory: null };
  if (memory === null) throw new Error(`There is no host ${host}.`);
  let free = memory.available - otherGrowth.high * at;
  let fork = 0;
  const giving: { name: string; need: number; reserve: number }[] = [];
  state.databases.forEach((database, index) => {
    const used = usedThen(database, at, pace(index));
    const grown = used - database.usedMemory;
    const share = copyOnWriteShare(database);
    const move = moves.find(({ database: name }) => name === database.name);
    const wasHere = [database.leader, database.follower].some((one) => one?.host === host);
    const comes = move !== undefined && [move.to.leader, move.to.follower].some((one) => one.host === host);
    if (wasHere && (move === undefined || at < move.end)) {
      free -= grown;
      fork = Math.max(fork, share * used);
    }
    if (wasHere && move !== undefined && at >= move.end) {
      free += Math.min(database.usedMemory, database.residentMemory);
    }
    if (comes && at >= move.start) {
      free -= Math.max(database.usedMemory, database.residentMemory) + grown;
      fork = Math.max(fork, share * used);
    }
    if (move !== undefined && at >= move.start && at < move.end) {
      if (wasHere) free -= database.writeRate * (move.end - move.start);
      if (move.from.follower.host === host) {
        // Nobody writes while it forks, and for so long nothing else is done with what is kept for emergencies.
        const waits = move.pauseSeconds !== undefined;
        const need = waits ? Math.max(PAUSED_LEAST, PAUSED_SHARE * used) : share * used;
        giving.push({ name: database.name, need, reserve: waits ? PAUSED_RESERVE : RESERVE });
      }
    }
  });
  return { free, fork, giving };
}

/** What must hold whatever the memory. */
function standing(state: RelocationState, moves: readonly PlannedMove[]): string[] {
  const found: string[] = [];
  const endpoints = state.databases.flatMap(({ leader, follower }) => [
    leader,
    ...(follower === null ? [] : [follower]),
  ]);
  const taken = new Set(endpoints.map(({ host, port }) => `${host}:${String(port)}`));
  for (const { database: name, from, to } of moves) {
    const database = state.databases.find((one) => one.name === name);
    const [leader, follower] = [to.leader, to.follower].map((one) =>
      state.hosts.find(({ name: host }) => host === one.host),
    );
    if (database?.busy !== null) found.push(`${name} is busy`);
    if (leader === undefined || follower === undefined || leader.zone === follower.zone) {
      found.push(`${name} is not in two zones`);
    }
    if (leader?.closed !== null || follower?.closed !== null) found.push(`${name} goes to a closed host`);
    if (from.leader.host !== database?.leader.host) found.push(`${name} is not there`);
    for (const { host, port } of [to.leader, to.follower]) {
      const key = `${host}:${String(port)}`;
      if (taken.has(key)) found.push(`${key} is taken`);
      taken.add(key);
    }
  }
  if (new Set(moves.map(({ database }) => database)).size < moves.length) found.push('one moves twice');
  return found;
}
