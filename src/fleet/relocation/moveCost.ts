/** What a move takes: time, memory on the hosts that it comes from, and on those that it goes to. Pure. */

import { reserveOf } from '../headroom.js';
import { pausedForkBytes, pauseNeeded } from '../pausedFork.js';
import { usedAt } from './outlook.js';
import type { Resident } from './outlook.js';
import type { PlannedMove, PlannerOptions } from './plan.js';
import type { DatabaseState } from './state.js';

/** Seconds. The stream of writes travels beside the copy. Infinity: it would never catch up. */
export function moveSeconds(
  database: DatabaseState,
  start: number,
  { bandwidth, copies, fixedSeconds }: Pick<PlannerOptions, 'bandwidth' | 'copies' | 'fixedSeconds'>,
): number {
  const left = bandwidth - database.writeRate;
  if (left <= 0) return Number.POSITIVE_INFINITY;
  return fixedSeconds + (copies * usedAt(database, start, 'high')) / left;
}

/** What is written meanwhile waits in buffers, on the host that gives the copy and on that of the leader. Bytes. */
export function heldBytes({ writeRate }: DatabaseState, seconds: number): number {
  return writeRate * seconds;
}

/** What a process of it takes on a host that it moves to. */
export function arrivingBytes(database: DatabaseState, at: number): number {
  return (
    Math.max(database.usedMemory, database.residentMemory) +
    usedAt(database, at, 'high') -
    database.usedMemory
  );
}

/** What a host gets back at least when the process of it stops. */
export function freedBytes(database: DatabaseState, at: number): number {
  return (
    Math.min(database.usedMemory, database.residentMemory) +
    usedAt(database, at, 'high') -
    database.usedMemory
  );
}

/**
 * What must stay free beside the fork of the move itself. With writes paused next to nothing can happen to a host, so
 * that the reserve may serve for it.
 */
export function moveForkReserve(
  memory: { readonly total: number },
  { pauseSeconds }: Pick<PlannedMove, 'pauseSeconds'>,
): number {
  return pauseSeconds !== undefined ? memory.total * LAST_RESORT_SHARE : reserveOf(memory);
}

/** What the fork of the move itself copies. Bytes. */
export function moveForkNeeds(
  { database, forkShare }: Resident,
  { pauseSeconds }: Pick<PlannedMove, 'pauseSeconds'>,
  at: number,
): number {
  const used = usedAt(database, at, 'high');
  return pauseSeconds === undefined ? forkShare * used : pausedForkBytes(used);
}

/** How long writes might have to wait for its copy: as slowly as its slowest fork went, if any was seen. */
export function pauseSecondsOf(
  { usedMemory, forks }: Pick<DatabaseState, 'usedMemory' | 'forks'>,
  { forkSpeed }: Pick<PlannerOptions, 'forkSpeed'>,
): number {
  const speeds = forks.flatMap((fork) => (fork.seconds > 0 ? [fork.usedMemory / fork.seconds] : []));
  const seen = 1 + usedMemory / Math.max(1, Math.min(forkSpeed, ...speeds));
  return Math.max(pauseNeeded(usedMemory), Math.ceil(seen));
}

export function processLimit(
  cores: number,
  { processesPerHost }: Pick<PlannerOptions, 'processesPerHost'>,
): number {
  return Math.max(processesPerHost, 4 * cores);
}

/** Below this share of its memory a host is as good as full: the next burst of writes would end it. */
export const LAST_RESORT_SHARE = 0.02;
