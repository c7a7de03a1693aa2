/** What a fork needs, and whether a host can give it. Sizes are bytes. */

import type { HostMemory } from './facts.js';

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
  return Math.max(0, host.available - host.total * RESERVE_SHARE);
}
