/** What a fork needs, and whether a host can give it. Sizes are bytes. */

import type { HostMemory } from './facts.js';
import type { ForkSample } from './relocation/state.js';

/** Kept free whatever happens: page cache, agents, connections of clients that come back all at once. */
const RESERVE_SHARE = 0.05;

/**
 * Copy-on-write of a fork, planned at its worst: every page is written while the child lives. Measured at full
 * speed over random keys: 97 % of the data set.
 */
const WORST_COPY_ON_WRITE = 1;

export type Headroom =
  { readonly fits: true; readonly left: number } | { readonly fits: false; readonly short: number };

export function forkHeadroom(host: HostMemory, usedMemory: number): Headroom {
  const left = spendable(host) - usedMemory * WORST_COPY_ON_WRITE;
  return left >= 0 ? { fits: true, left } : { fits: false, short: -left };
}

/**
 * A host has what the machine has left, and no more than the fleet file gives it, less what its Redis processes hold:
 * several hosts may share a machine, and a machine may have other work than Redis.
 */
export function withinBudget(machine: HostMemory, budget: number, residentInRedis: number): HostMemory {
  return {
    total: Math.min(machine.total, budget),
    available: Math.max(0, Math.min(machine.available, budget - residentInRedis)),
  };
}

/** What may be spent on a host without touching its reserve. */
export function spendable(host: HostMemory): number {
  return Math.max(0, host.available - reserveOf(host));
}

export function reserveOf({ total }: Pick<HostMemory, 'total'>): number {
  return total * RESERVE_SHARE;
}

/** Nobody forks for less, however quiet it was: writes may begin at any moment. */
const LEAST_COPY_ON_WRITE = 0.05;
/** What was observed was one fork: the next one may meet a busier minute. */
const CAUTION = 1.5;
/** A fork without writes says what an idle fork costs, and nothing of what a write costs. Bytes a second. */
const SLOWEST_WRITES = 16 * 1024;

/**
 * Copy-on-write to plan with, as a share of used memory. Every page that is written while the child lives is copied; the
 * child lives the longer, the more there is to save. So what the last forks cost grows with the rate of writes, and, as
 * a share, stays the same when the database grows; it is never more than all. Without an observed fork it is all.
 */
export function copyOnWriteShare({
  writeRate,
  forks,
}: {
  readonly writeRate: number;
  readonly forks: readonly ForkSample[];
}): number {
  const observed = forks.filter(({ usedMemory }) => usedMemory > 0);
  if (observed.length === 0) return WORST_COPY_ON_WRITE;
  const shares = observed.map((fork) => {
    const busier = Math.max(1, writeRate / Math.max(SLOWEST_WRITES, fork.writeRate));
    return (fork.copyOnWrite / fork.usedMemory) * busier * CAUTION;
  });
  return Math.min(WORST_COPY_ON_WRITE, Math.max(LEAST_COPY_ON_WRITE, ...shares));
}
