/**
 * Connections that are open already when a promotion looks at a follower: the watch has one to each, and those that were
 * opened for one look stay open for a moment for the next. Opening one costs more than a look, and when a host fails
 * there are many to look at.
 */

import type { Credentials } from '../connections/credentials.js';
import type { Redis } from '../connections/redis.js';
import type { Endpoint } from '../fleet/record.js';
import { lookAgain, openLook } from './quickLook.js';
import type { QuickLook } from './quickLook.js';

export interface WarmLook {
  readonly look: QuickLook;
  readonly redis: Redis;
  /** Keeps it for whoever looks next. */
  readonly keep: () => void;
  readonly close: () => void;
}

export interface WarmConnections {
  look(endpoint: Endpoint): Promise<WarmLook>;
  /** Over a connection of its own, which is closed afterwards. */
  fresh(endpoint: Endpoint): Promise<WarmLook>;
  /**
   * Whoever looks may use the connection that `current` returns, and does not close it. The lender may, at any moment.
   * @returns what ends that
   */
  lend(endpoint: Endpoint, current: () => Redis | null): () => void;
}

const KEPT_MS = 2_000;
/** A busy machine gets time; whoever does not answer then is not to be relied on. */
const ANSWER_WITHIN_MS = 1_000;

export function warmConnections(credentials: Pick<Credentials, 'administrator'>): WarmConnections {
  const lent = new Map<string, () => Redis | null>();
  const kept = new Map<string, { readonly redis: Redis; readonly timer: NodeJS.Timeout }>();

  function take(key: string): Redis | null {
    const found = kept.get(key);
    if (found === undefined) return null;
    clearTimeout(found.timer);
    kept.delete(key);
    if (found.redis.status === 'ready') return found.redis;
    found.redis.disconnect();
    return null;
  }

  function keep(key: string, redis: Redis): void {
    take(key)?.disconnect();
    const timer = setTimeout(() => take(key)?.disconnect(), KEPT_MS);
    kept.set(key, { redis, timer: timer.unref() });
  }

  function own(endpoint: Endpoint, redis: Redis, look: QuickLook): WarmLook {
    return {
      look,
      redis,
      keep: () => (look.answers ? keep(keyOf(endpoint), redis) : redis.disconnect()),
      close: () => redis.disconnect(),
    };
  }

  async function fresh(endpoint: Endpoint): Promise<WarmLook> {
    const { look, redis } = await openLook(endpoint, credentials, ANSWER_WITHIN_MS);
    return own(endpoint, redis, look);
  }

  return {
    async look(endpoint) {
      const borrowed = lent.get(keyOf(endpoint))?.() ?? null;
      const warm = borrowed ?? take(keyOf(endpoint));
      if (warm === null) return fresh(endpoint);
      const look = await lookAgain(warm, endpoint, ANSWER_WITHIN_MS);
      if (look.answers) {
        return borrowed === null
          ? own(endpoint, warm, look)
          : { look, redis: warm, keep: () => undefined, close: () => undefined };
      }
      // It may be the connection that is gone.
      if (borrowed === null) warm.disconnect();
      return fresh(endpoint);
    },
    fresh,
    lend(endpoint, current) {
      const key = keyOf(endpoint);
      lent.set(key, current);
      return () => {
        if (lent.get(key) === current) lent.delete(key);
      };
    },
  };
}

function keyOf({ address, port }: Endpoint): string {
  return `${address}:${port}`;
}
