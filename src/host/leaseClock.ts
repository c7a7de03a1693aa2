/**
 * The clock that a lease is counted by. It never jumps with the wall clock, and it goes on while the machine is
 * suspended: a host that slept through its lease must know that when it wakes.
 */

import { uptime } from 'node:os';

/** Milliseconds since some moment. */
export type Clock = () => number;

export interface ClockSources {
  /** Milliseconds, exact, standing still in a suspended machine. */
  readonly monotonic: () => number;
  /** Seconds since the machine was booted, coarse, going on in a suspended machine. */
  readonly sinceBoot: () => number;
}

/** The coarse clock lags by up to its resolution; more than this is a suspension. */
const SUSPENDED_MS = 50;
/** The coarse clock is a file of the kernel's: asked that often, not for each of a thousand questions. */
const LOOK_EVERY_MS = 2;

export function leaseClock(
  { monotonic, sinceBoot }: ClockSources = { monotonic: () => performance.now(), sinceBoot: uptime },
): Clock {
  let ahead = sinceBoot() * 1_000 - monotonic();
  let slept = 0;
  let lookedAt = -Infinity;
  return () => {
    const now = monotonic();
    if (now - lookedAt < LOOK_EVERY_MS) return now + slept;
    lookedAt = now;
    const difference = sinceBoot() * 1_000 - now;
    if (difference - ahead > SUSPENDED_MS) {
      slept += difference - ahead;
      ahead = difference;
    } else if (difference < ahead - SUSPENDED_MS) {
      // A container's view of the uptime may be set back; what was counted stays counted.
      ahead = difference;
    }
    return now + slept;
  };
}
