/**
 * Compare-and-sets that come at the same time travel together, in one transaction: somebody who changes many keys at
 * once waits for one round trip and not for each. What comes while one is under way goes with the next.
 */

import type { FleetConsul } from '../connections/consul.js';
import { compareAndSet, isStale, pick } from './kv.js';

export type CompareAndSet = (key: string, value: unknown, expectedIndex: number) => Promise<boolean>;

interface Waiting {
  readonly key: string;
  readonly value: unknown;
  readonly expectedIndex: number;
  readonly resolve: (written: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Consul takes no more in one transaction. */
const MOST_AT_ONCE = 64;

export function coalescedCompareAndSet(consul: FleetConsul): CompareAndSet {
  let waiting: Waiting[] = [];
  let busy = false;
  const keys = new Set<string>();

  async function send(): Promise<void> {
    busy = true;
    while (waiting.length > 0) {
      const now = waiting.slice(0, MOST_AT_ONCE);
      waiting = waiting.slice(MOST_AT_ONCE);
      try {
        // Those that were not written, but could have been, go again with the next.
        waiting = [...(await write(consul, now)), ...waiting];
      } catch (error) {
        for (const { reject } of now) reject(error);
      }
    }
    busy = false;
  }

  return async (key, value, expectedIndex) => {
    // A race for one key is decided by Consul, as ever.
    if (keys.has(key)) return await compareAndSet(consul, key, value, expectedIndex);
    keys.add(key);
    try {
      return await new Promise<boolean>((resolve, reject) => {
        waiting.push({ key, value, expectedIndex, resolve, reject });
        if (busy) return;
        busy = true;
        // After everything that this turn of the event loop still brings.
        setImmediate(() => void send());
      });
    } finally {
      keys.delete(key);
    }
  };
}

/** All of them or none. @returns those to try again: a transaction is rolled back for the one that is too late */
async function write(consul: FleetConsul, writes: readonly Waiting[]): Promise<readonly Waiting[]> {
  const [only, second] = writes;
  if (only !== undefined && second === undefined) {
    only.resolve(await compareAndSet(consul, only.key, only.value, only.expectedIndex));
    return [];
  }
  const operations = writes.map(({ key, value, expectedIndex }) => ({
    KV: {
      Verb: 'cas',
      Key: key,
      Value: Buffer.from(JSON.stringify(value)).toString('base64'),
      Index: expectedIndex,
    },
  }));
  const late = await consul.call(`write ${only?.key ?? ''} and ${writes.length - 1} more`, async (client) => {
    try {
      // The library's types for this call are not what Consul takes.
      await client.transaction.create(operations as never);
      return null;
    } catch (error) {
      if (isStale(error)) return lateOnes(error);
      throw error;
    }
  });
  if (late === null) {
    for (const { resolve } of writes) resolve(true);
    return [];
  }
  const isLate = (at: number): boolean => late.size === 0 || late.has(at);
  for (const [at, { resolve }] of writes.entries()) if (isLate(at)) resolve(false);
  return writes.filter((_, at) => !isLate(at));
}

/** Their places in the transaction; none: Consul did not say, and each is read anew by whoever wanted it. */
function lateOnes(error: unknown): ReadonlySet<number> {
  const body = pick(error, 'response', 'body');
  const errors = pick(typeof body === 'string' ? (JSON.parse(body) as unknown) : body, 'Errors');
  if (!Array.isArray(errors)) return new Set();
  return new Set(errors.map((one) => Number(pick(one, 'OpIndex') ?? 0)).filter(Number.isSafeInteger));
}
