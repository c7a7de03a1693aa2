/** What forks cost, as agents saw it. Pure. */

import { listUnder } from './listUnder.js';
import type { ForkSample, MemoryHistory } from './state.js';

/** Of each database. More of them say little: what counts is how it is now. */
export const FORKS_KEPT = 3;

/** By database: the last ones on all these hosts, oldest first. */
export function lastForks(histories: readonly MemoryHistory[]): ReadonlyMap<string, readonly ForkSample[]> {
  const forks = new Map<string, ForkSample[]>();
  for (const { forks: seen } of histories) for (const fork of seen) listUnder(forks, fork.database, fork);
  return new Map(
    [...forks].map(([database, all]) => [database, all.toSorted((a, b) => a.at - b.at).slice(-FORKS_KEPT)]),
  );
}
