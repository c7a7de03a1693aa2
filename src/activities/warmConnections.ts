/** Connections that stay open for a moment between two looks at the same process: opening one costs more than a look. */

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
}

const KEPT_MS = 2_000;
/** A busy machine gets time; whoever does not answer then is not to be relied on. */
const ANSWER_WITHIN_MS = 1_000;

export function warmConnections(credentials: Pick<Credentials, 'administrator'>): WarmConnections {
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

  return {
    async look(endpoint) {
      const key = `${endpoint.address}:${endpoint.port}`;
      const open = (redis: Redis, look: QuickLook): WarmLook => ({
        look,
        redis,
        keep: () => (look.answers ? keep(key, redis) : redis.disconnect()),
        close: () => redis.disconnect(),
      });
      const warm = take(key);
      if (warm !== null) {
        const look = await lookAgain(warm, endpoint, ANSWER_WITHIN_MS);
        if (look.answers) return open(warm, look);
        // It may be the connection that is gone.
        warm.disconnect();
      }
      const { look, redis } = await openLook(endpoint, credentials, ANSWER_WITHIN_MS);
      return open(redis, look);
    },
  };
}
