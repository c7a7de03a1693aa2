import { FleetError, messageOf } from '../fleet/errors.js';

export interface WaitOptions {
  readonly deadlineMs: number;
  /** What is waited for, as the end of "waited 5 s for …". */
  readonly what: string;
  /** Default 50. */
  readonly everyMs?: number;
}

/**
 * Polls a condition until it holds something other than `undefined`, `null` or `false`, and returns that.
 * A condition that throws does not hold yet; its last message is in the error.
 * @throws Unreachable after `deadlineMs`
 */
export async function waitFor<T>(
  condition: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.deadlineMs;
  let trouble = '';
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== null && value !== false) return value;
      trouble = '';
    } catch (error) {
      trouble = `: ${messageOf(error)}`;
    }
    if (performance.now() >= deadline) {
      const seconds = (options.deadlineMs / 1000).toFixed(1);
      throw new FleetError('Unreachable', `Waited ${seconds} s in vain for ${options.what}${trouble}`);
    }
    await pause(options.everyMs ?? 50);
  }
}

/** Milliseconds. For polling and pacing only, never as synchronisation. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
