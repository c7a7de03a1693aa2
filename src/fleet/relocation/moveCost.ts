/** What a move takes: time, memory on the hosts that it comes from, and on those that it goes to. Pure. */

import { reserveOf } from '../headroom.js';
import { usedAt } from './outlook.js';
import type { Resident } from './outlook.js';
import type { PlannerOptions } from './plan.js';
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

/** Measured with writes paused: 0.2 % of a data set, and no more over half a minute. */
const PAUSED_SHARE = 0.01;

/**
 * What must stay free beside the fork of the move itself. With writes paused next to nothing can happen to a host, so
 * that the reserve may serve for it.
 */
export function moveForkReserve(
  memory: { readonly total: number },
  { pausedForks }: Pick<PlannerOptions, 'pausedForks'>,
): number {
  return pausedForks ? memory.total * LAST_RESORT_SHARE : reserveOf(memory);
}

/** The share of used memory that the fork of the move itself copies. */
export function moveForkShare(
  { forkShare }: Resident,
  { pausedForks }: Pick<PlannerOptions, 'pausedForks'>,
): number {
  return pausedForks ? Math.min(forkShare, PAUSED_SHARE) : forkShare;
}

export function processLimit(
  cores: number,
  { processesPerHost }: Pick<PlannerOptions, 'processesPerHost'>,
): number {
  return Math.max(processesPerHost, 4 * cores);
}

/** Below this share of its memory a host is as good as full: the next burst of writes would end it. */
export const LAST_RESORT_SHARE = 0.02;
