/**
 * The activities that a runbook has asked for and that have not ended yet. When one of several parallel activities
 * fails, the others are cancelled; a step may only be run again, or undone, once they have really ended.
 */

import type { FailurePlace } from './failures.js';
import { rememberPlace } from './failures.js';

const inFlight = new Set<Promise<unknown>>();

/** A proxy of activities whose calls are followed until they end. */
export function followed<A extends object>(activities: A, place: FailurePlace): A {
  return new Proxy(activities, {
    get(target, name, receiver): unknown {
      const activity: unknown = Reflect.get(target, name, receiver);
      return typeof activity === 'function' ? followedCall(activity, String(name), place) : activity;
    },
  });
}

/** Waits for the end of every activity that was not yet in flight when `before` was taken. */
export async function endOfOthers(before: ReadonlySet<Promise<unknown>>): Promise<void> {
  await Promise.allSettled([...inFlight].filter((call) => !before.has(call)));
}

export function inFlightNow(): ReadonlySet<Promise<unknown>> {
  return new Set(inFlight);
}

function followedCall<F extends object>(activity: F, name: string, place: FailurePlace): F {
  return new Proxy(activity, {
    apply(target, self, args): unknown {
      const call: unknown = Reflect.apply(target as () => unknown, self, args);
      return call instanceof Promise ? follow(call, name, place) : call;
    },
  });
}

function follow(call: Promise<unknown>, name: string, place: FailurePlace): Promise<unknown> {
  const settled = call.then(
    () => undefined,
    (error: unknown) => {
      rememberPlace(error, place, name);
    },
  );
  inFlight.add(settled);
  void settled.then(() => inFlight.delete(settled));
  return call;
}
