/** Until when a host is safe: a fork of its largest database fits, and memory does not end. Pure. Times are seconds from now. */

import { reserveOf } from '../headroom.js';
import { availableAt, fullAt, largestFork, outlooks, usedAt } from './outlook.js';
import type { HostOutlook, Pace } from './outlook.js';
import type { RelocationState } from './state.js';

/** When something happens: at the earliest (growth is high), as expected, at the latest. 0: already; null: never. */
export interface Forecast {
  readonly low: number | null;
  readonly expected: number | null;
  readonly high: number | null;
}

/** Whether a fork of one database fits on its host now. */
export interface ForkOutlook {
  readonly database: string;
  /** Copy-on-write to plan with. */
  readonly needs: number;
  /** What is left after it, beside the reserve; negative: it does not fit. */
  readonly left: number;
}

export interface HostForecast {
  readonly host: string;
  readonly total: number;
  readonly available: number;
  readonly reserve: number;
  /** Largest first. */
  readonly forks: readonly ForkOutlook[];
  /** When a fork of the largest database no longer fits beside the reserve. */
  readonly forkEnds: Forecast;
  /** When nothing is available. */
  readonly memoryEnds: Forecast;
}

/** Who grows so slowly is not said to end. */
const NEVER = 365 * 86_400;

export function forecastFleet(state: RelocationState): HostForecast[] {
  return [...outlooks(state).values()].map(forecastHost);
}

export function forecastHost(outlook: HostOutlook): HostForecast {
  const { host, residents } = outlook;
  const { total, available } = host.memory;
  const reserve = reserveOf(host.memory);
  return {
    host: host.name,
    total,
    available,
    reserve,
    forks: residents
      .map(({ database, forkShare }) => {
        const needs = forkShare * database.usedMemory;
        return { database: database.name, needs, left: available - reserve - needs };
      })
      .sort((a, b) => b.needs - a.needs),
    forkEnds: forecast((pace) => forkEnds(outlook, pace)),
    memoryEnds: forecast((pace) => memoryEnds(outlook, pace)),
  };
}

function forecast(when: (pace: Pace) => number | null): Forecast {
  return { low: when('high'), expected: when('expected'), high: when('low') };
}

function forkEnds(outlook: HostOutlook, pace: Pace): number | null {
  const { host, residents } = outlook;
  const left = (seconds: number): number =>
    availableAt(outlook, seconds, pace) -
    reserveOf(host.memory) -
    (largestFork(residents, seconds, pace)?.bytes ?? 0);
  const wanted = (from: number): number | null => {
    // Between two databases that become full everything is linear; the fork that is first too large is what counts.
    const slope = availableSlope(outlook, from, pace);
    const available = availableAt(outlook, from, pace) - reserveOf(host.memory);
    const ends = residents.flatMap(({ database, forkShare }) => {
      const falls = forkShare * growthAt(database, from, pace) - slope;
      if (falls <= 0) return [];
      return [(available - forkShare * usedAt(database, from, pace)) / falls];
    });
    if (residents.length === 0 && slope < 0) ends.push(available / -slope);
    return ends.length === 0 ? null : Math.max(0, Math.min(...ends));
  };
  return firstNegative(outlook, pace, left, wanted);
}

function memoryEnds(outlook: HostOutlook, pace: Pace): number | null {
  const available = (seconds: number): number => availableAt(outlook, seconds, pace);
  return firstNegative(outlook, pace, available, (from) => {
    const slope = availableSlope(outlook, from, pace);
    return slope >= 0 ? null : available(from) / -slope;
  });
}

/**
 * When `left` falls below 0: it never grows, and between the times at which databases become full `after` says how long
 * it takes from there.
 */
function firstNegative(
  { residents }: HostOutlook,
  pace: Pace,
  left: (seconds: number) => number,
  after: (from: number) => number | null,
): number | null {
  if (left(0) < 0) return 0;
  const kinks = residents
    .map(({ database }) => fullAt(database, pace))
    .filter((seconds) => seconds > 0 && seconds < NEVER)
    .sort((a, b) => a - b);
  let from = 0;
  for (const kink of [...kinks, Number.POSITIVE_INFINITY]) {
    if (kink !== Number.POSITIVE_INFINITY && left(kink) >= 0) {
      from = kink;
      continue;
    }
    const more = after(from);
    const at = more === null ? Number.POSITIVE_INFINITY : from + more;
    if (at <= kink) return at > NEVER ? null : at;
    from = kink;
  }
  return null;
}

function growthAt(
  database: HostOutlook['residents'][number]['database'],
  seconds: number,
  pace: Pace,
): number {
  return seconds < fullAt(database, pace) ? Math.max(0, database.growth[pace]) : 0;
}

/** Bytes a second; negative while anything grows. */
function availableSlope({ host, residents }: HostOutlook, seconds: number, pace: Pace): number {
  const growth = residents.reduce((sum, { database }) => sum + growthAt(database, seconds, pace), 0);
  return -growth - Math.max(0, host.otherGrowth[pace]);
}
