/** How much of a host is used at a time to come, at a pace of growth. Pure. Sizes are bytes, times seconds from now. */

import { copyOnWriteShare, reserveOf } from '../headroom.js';
import type { DatabaseState, HostState, RelocationState } from './state.js';

/** Which end of a spread of growth is assumed. */
export type Pace = 'low' | 'expected' | 'high';

/** What a database holds then. It grows until its maxmemory; that it could shrink is not relied on. */
export function usedAt(
  { usedMemory, maxmemory, growth }: Pick<DatabaseState, 'usedMemory' | 'maxmemory' | 'growth'>,
  seconds: number,
  pace: Pace,
): number {
  const rate = growth[pace];
  if (rate <= 0) return usedMemory;
  const room = maxmemory > 0 ? Math.max(0, maxmemory - usedMemory) : Number.POSITIVE_INFINITY;
  return usedMemory + Math.min(rate * seconds, room);
}

/** When it has reached its maxmemory. 0: it does not grow; Infinity: never. */
export function fullAt(
  { usedMemory, maxmemory, growth }: Pick<DatabaseState, 'usedMemory' | 'maxmemory' | 'growth'>,
  pace: Pace,
): number {
  const rate = growth[pace];
  if (rate <= 0) return 0;
  return maxmemory > 0 ? Math.max(0, maxmemory - usedMemory) / rate : Number.POSITIVE_INFINITY;
}

/** What has a process on a host, and what a fork of it costs. */
export interface Resident {
  readonly database: DatabaseState;
  /** See `copyOnWriteShare`. */
  readonly forkShare: number;
}

/** A host with all that runs on it. */
export interface HostOutlook {
  readonly host: HostState;
  readonly residents: readonly Resident[];
}

export function residentOf(database: DatabaseState): Resident {
  return { database, forkShare: copyOnWriteShare(database) };
}

/** The largest fork of these, and whose it is. */
export function largestFork(
  residents: readonly Resident[],
  seconds: number,
  pace: Pace,
): { readonly database: string; readonly bytes: number } | null {
  let largest: { database: string; bytes: number } | null = null;
  for (const { database, forkShare } of residents) {
    const bytes = forkShare * usedAt(database, seconds, pace);
    if (largest === null || bytes > largest.bytes) largest = { database: database.name, bytes };
  }
  return largest;
}

/** What is available then, if nothing moves. May be negative: that much is missing. */
export function availableAt({ host, residents }: HostOutlook, seconds: number, pace: Pace): number {
  const grown = residents.reduce(
    (sum, { database }) => sum + usedAt(database, seconds, pace) - database.usedMemory,
    0,
  );
  return host.memory.available - grown - Math.max(0, host.otherGrowth[pace]) * seconds;
}

/**
 * What is left on the host then beside its reserve and a fork of its largest database. Negative: such a fork does not
 * fit. It never grows with time, so that a host which is safe at the end of a stretch of time was so all along.
 */
export function marginAt(outlook: HostOutlook, seconds: number, pace: Pace): number {
  const fork = largestFork(outlook.residents, seconds, pace)?.bytes ?? 0;
  return availableAt(outlook, seconds, pace) - reserveOf(outlook.host.memory) - fork;
}

/** Every host with what runs on it, by name. A process on a host that the state does not have is left out. */
export function outlooks({ hosts, databases }: RelocationState): Map<string, HostOutlook> {
  const residents = new Map<string, Resident[]>(hosts.map(({ name }) => [name, []]));
  for (const database of databases) {
    const resident = residentOf(database);
    for (const host of hostsOfDatabase(database)) residents.get(host)?.push(resident);
  }
  return new Map(hosts.map((host) => [host.name, { host, residents: residents.get(host.name) ?? [] }]));
}

/** Where it has processes. */
export function hostsOfDatabase({
  leader,
  follower,
  extraFollowers,
}: Pick<DatabaseState, 'leader' | 'follower' | 'extraFollowers'>): string[] {
  const hosts = [leader.host];
  if (follower !== null) hosts.push(follower.host);
  for (const { host } of extraFollowers) if (!hosts.includes(host)) hosts.push(host);
  return hosts;
}
