import { CancellationScope, ContinueAsNew } from '@temporalio/workflow';
import { endOfOthers, inFlightNow } from './inFlight.js';

export type Outcome<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

/**
 * Runs something once, in a scope of its own. When it fails, everything that it started is cancelled and has ended
 * before this returns: nothing of a failed attempt lives beside the next one.
 */
export async function attempt<T>(run: () => Promise<T>): Promise<Outcome<T>> {
  const scope = new CancellationScope();
  const before = inFlightNow();
  try {
    return { ok: true, value: await scope.run(run) };
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    scope.cancel();
    await endOfOthers(before);
    return { ok: false, error };
  }
}
