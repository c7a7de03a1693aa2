/** Waiting for a system that is away: one sentence an attempt, no stack trace. */

import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { Log } from './log.js';

export interface ConnectOptions {
  /** `forever` tries again while the system is unreachable; `none` throws at once. */
  readonly patience: 'none' | 'forever';
  readonly log?: Log | undefined;
  readonly signal?: AbortSignal | undefined;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;

/**
 * Runs `attempt` until it succeeds, as patient as asked for. What is not a matter of time (wrong credentials,
 * a wrong setting) is thrown at once.
 */
export async function patiently<T>(attempt: () => Promise<T>, options: ConnectOptions): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    options.signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      const mayPass = error instanceof FleetError && error.retryable;
      if (options.patience === 'none' || !mayPass) throw error;
      options.log?.warn(`${messageOf(error)} Trying again in ${pause / 1000} s.`);
    }
    await sleep(pause, undefined, options.signal ? { signal: options.signal } : {});
  }
}
