/** One open connection to each live process: for its facts, and to notice its end at once. */

import type { Credentials } from '../connections/credentials.js';
import { describeRedisError, openRedis, type Redis } from '../connections/redis.js';
import { messageOf } from '../fleet/errors.js';
import type { HostProcess, ProcessFacts } from '../fleet/facts.js';
import { parseProcessFacts } from '../fleet/processFacts.js';

/** A process that answers later than this is reported without facts. */
const TIMEOUT_MS = 1_000;

export interface ProcessWatch {
  /** null with a reason when a process does not answer. */
  facts(process: HostProcess): Promise<{ facts: ProcessFacts } | { facts: null; why: string }>;
  close(): void;
}

interface Watched {
  readonly pid: number;
  readonly redis: Redis;
}

/** @param onEnd called when a connection ends that was not closed by us: most often because its process died */
export function processWatch(credentials: Credentials, onEnd: (database: string) => void): ProcessWatch {
  const watched = new Map<string, Watched>();

  function drop(database: string): void {
    const found = watched.get(database);
    watched.delete(database);
    found?.redis.disconnect();
  }

  async function connected(process: HostProcess, pid: number): Promise<Redis> {
    const { database, endpoint } = process;
    const open = watched.get(database);
    if (open?.pid === pid) return open.redis;
    drop(database);
    const redis = openRedis(endpoint, credentials, { timeoutMs: TIMEOUT_MS });
    let cause: unknown = null;
    redis.on('error', (error) => (cause = error));
    redis.once('end', () => {
      if (watched.get(database)?.redis !== redis) return;
      watched.delete(database);
      onEnd(database);
    });
    try {
      await redis.connect();
    } catch (error) {
      redis.disconnect();
      throw cause ?? error;
    }
    watched.set(database, { pid, redis });
    return redis;
  }

  return {
    async facts(process) {
      if (process.pid === null) {
        drop(process.database);
        return { facts: null, why: 'it does not run' };
      }
      try {
        const redis = await connected(process, process.pid);
        return { facts: parseProcessFacts(await redis.info()) };
      } catch (error) {
        drop(process.database);
        return { facts: null, why: messageOf(describeRedisError(process.endpoint, error, TIMEOUT_MS)) };
      }
    },
    close() {
      [...watched.keys()].forEach(drop);
    },
  };
}
