/** When each move begins, so that forks fit when they happen and no memory ends meanwhile. Pure but for the world. */

import { reserveOf } from '../headroom.js';
import {
  arrivingBytes,
  freedBytes,
  heldBytes,
  LAST_RESORT_SHARE,
  moveForkNeeds,
  moveForkReserve,
  moveSeconds,
  pauseSecondsOf,
} from './moveCost.js';
import { availableAt, largestFork, marginAt } from './outlook.js';
import type { Resident } from './outlook.js';
import type { Pair, PlannedMove } from './plan.js';
import { occupiedHosts } from './simulateRules.js';
import { decide, undecide } from './world.js';
import type { PlannedHost, World } from './world.js';

export interface Wanted {
  readonly resident: Resident;
  readonly from: Pair;
  readonly to: Pair;
  /** Bytes a second that the hosts in need get back: what frees most begins first. */
  readonly relief: number;
}

/** Seconds. */
const JUST_AFTER = 1e-6;
/** With more than these not every order is tried. */
const ALL_ORDERS_OF = 4;

/**
 * A time for each; null: none was found in which all of them work. `needy` hosts must not run out of memory before the
 * end. On success the moves are decided in `world`.
 */
export function timeAll(
  world: World,
  wanted: readonly Wanted[],
  needy: ReadonlySet<string>,
): PlannedMove[] | null {
  const preferred = wanted.toSorted((a, b) => b.relief - a.relief);
  for (const pausing of world.options.pauseWrites > 0 ? PAUSING : NEVER) {
    // The preferred order is the first of all.
    for (const order of wanted.length > ALL_ORDERS_OF ? [preferred] : permutations(preferred)) {
      const timed = timeInOrder(world, order, { needy, pausing });
      if (timed !== null) return timed;
    }
  }
  return null;
}

/** When writes wait for a copy that fits in no other way: where nothing else can begin, or as soon as that can begin. */
type Pausing = 'never' | 'last' | 'at once';
const NEVER: readonly Pausing[] = ['never'];
const PAUSING: readonly Pausing[] = ['last', 'at once'];

/** The first that can begin does; what cannot waits until something has ended. */
function timeInOrder(
  world: World,
  order: readonly Wanted[],
  { needy, pausing }: { readonly needy: ReadonlySet<string>; readonly pausing: Pausing },
): PlannedMove[] | null {
  const waiting = [...order];
  const timed: PlannedMove[] = [];
  const begins = (one: Wanted, at: number, pauses: boolean): boolean => {
    const move = moveAt(world, one, at, pauses);
    if (move === null || !isClear(world, move)) return false;
    decide(world, move);
    if (!isBearable(world, move, needy)) {
      undecide(world, move);
      return false;
    }
    timed.push(move);
    waiting.splice(waiting.indexOf(one), 1);
    return true;
  };
  for (let at: number | null = 0; at !== null; at = nextEnd(world, at)) {
    for (const one of [...waiting]) {
      if (!begins(one, at, false) && pausing === 'at once') begins(one, at, true);
    }
    if (pausing === 'last' && nextEnd(world, at) === null) {
      const now = at;
      waiting.find((one) => begins(one, now, true));
    }
    if (waiting.length === 0) return timed;
  }
  for (const move of timed.toReversed()) undecide(world, move);
  return null;
}

/** null: writes may not wait for so long. */
function moveAt(
  { options }: World,
  { resident: { database }, from, to }: Wanted,
  start: number,
  pauses: boolean,
): PlannedMove | null {
  const end = start + moveSeconds(database, start, options);
  const move = { database: database.name, bytes: database.usedMemory, from, to, start, end };
  if (!pauses) return move;
  const pauseSeconds = pauseSecondsOf(database, options);
  return pauseSeconds <= options.pauseWrites ? { ...move, pauseSeconds } : null;
}

function nextEnd({ moves }: World, after: number): number | null {
  const later = moves.map(({ end }) => end).filter((end) => end > after);
  return later.length === 0 ? null : Math.min(...later);
}

/** No host takes part in two moves at once, and not too many happen in all. */
function isClear(world: World, move: PlannedMove): boolean {
  if (move.end <= move.start || !Number.isFinite(move.end)) return false;
  for (const name of occupiedHosts(move)) {
    for (const other of world.hosts.get(name)?.moves ?? []) {
      if (overlaps(other, move) && occupiedHosts(other).includes(name)) return false;
    }
  }
  let together = 0;
  for (const other of world.moves) if (overlaps(other, move)) together += 1;
  return together < world.options.atOnce;
}

function overlaps(a: PlannedMove, b: PlannedMove): boolean {
  return a.start < b.end && b.start < a.end;
}

/** On every host of the move, as things are then; everything only gets less until something ends. */
function isBearable(world: World, move: PlannedMove, needy: ReadonlySet<string>): boolean {
  const { from, to } = move;
  return [from.follower, from.leader, to.leader, to.follower].every(({ host: name }) => {
    const host = world.hosts.get(name);
    if (host === undefined) return false;
    const ends = host.moves.map(({ end }) => end).filter((end) => end > move.start);
    return [move.start + JUST_AFTER, ...ends].every((at) => isWellUntil(world, host, at, needy.has(name)));
  });
}

function isWellUntil(world: World, host: PlannedHost, at: number, needy: boolean): boolean {
  const { outlook, moves, arrivals } = host;
  const { name, memory } = outlook.host;
  const available = availableBefore(world, host, at);
  const least = memory.total * LAST_RESORT_SHARE;
  if (available < least && (needy || available < availableAt(outlook, at, 'high'))) return false;

  const beside = available - reserveOf(memory);
  const receives = arrivals.length > 0;
  if (!needy && (receives || marginAt(outlook, world.until, 'high') >= 0)) {
    const here = [
      ...outlook.residents.filter(({ database }) => !hasLeft(database.name, host, at)),
      ...moves.flatMap(({ database, start, to }) => {
        const resident = isTo(to, name) && start < at ? world.databases.get(database) : undefined;
        return resident === undefined ? [] : [resident];
      }),
    ];
    if (beside < (largestFork(here, at, 'high')?.bytes ?? 0)) return false;
  }
  return moves.every((move) => {
    if (move.from.follower.host !== name || !isActiveBefore(move, at)) return true;
    const resident = world.databases.get(move.database);
    if (resident === undefined || world.options.underWay.includes(move)) return true;
    return available - moveForkReserve(memory, move) >= moveForkNeeds(resident, move, at);
  });
}

/** What is available just before this moment, with every decided move. */
function availableBefore(world: World, { outlook, moves }: PlannedHost, at: number): number {
  const { name } = outlook.host;
  let available = availableAt(outlook, at, 'high');
  for (const move of moves) {
    const database = world.databases.get(move.database)?.database;
    if (database === undefined) continue;
    if (isTo(move.to, name)) {
      if (move.start < at) available -= arrivingBytes(database, at);
    } else if (move.end < at) {
      available += freedBytes(database, at);
    }
    if (isFrom(move.from, name) && isActiveBefore(move, at)) {
      available -= heldBytes(database, move.end - move.start);
    }
  }
  return available;
}

function hasLeft(database: string, { outlook, moves }: PlannedHost, at: number): boolean {
  return moves.some(
    (move) => move.database === database && move.end < at && !isTo(move.to, outlook.host.name),
  );
}

function isActiveBefore({ start, end }: PlannedMove, at: number): boolean {
  return start < at && at <= end;
}

function isTo(to: Pair, host: string): boolean {
  return to.leader.host === host || to.follower.host === host;
}

function isFrom(from: Pair, host: string): boolean {
  return from.leader.host === host || from.follower.host === host;
}

function* permutations<T>(items: readonly T[]): Generator<readonly T[]> {
  if (items.length < 2) {
    yield items;
    return;
  }
  for (const [index, item] of items.entries()) {
    for (const rest of permutations(items.toSpliced(index, 1))) yield [item, ...rest];
  }
}
