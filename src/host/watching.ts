/** One kept-open connection to each live process: for its facts and its pulse, and to notice its end at once. */

import type { Credentials } from '../connections/credentials.js';
import { describeRedisError, openRedis, type Redis } from '../connections/redis.js';
import { reach } from '../connections/reach.js';
import { messageOf } from '../fleet/errors.js';
import type { HostProcess, ProcessFacts } from '../fleet/facts.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';

/** A process that answers later than this is reported without facts. */
const TIMEOUT_MS = 1_000;

/** Somebody to be connected to. */
export interface Peer {
  readonly database: string;
  readonly endpoint: Endpoint;
  /** Of the process, where it is known: another pid is another process. */
  readonly pid: number | null;
}

export interface ProcessWatch {
  /** The open connection, or a new one. @throws what the connection failed of, in the words of `node:net` or Redis */
  connection(peer: Peer): Promise<Redis>;
  /** null with a reason when a process does not answer. */
  facts(process: HostProcess): Promise<{ facts: ProcessFacts } | { facts: null; why: string }>;
  drop(database: string): void;
  close(): void;
}

interface Watched {
  readonly identity: string;
  readonly redis: Promise<Redis>;
  readonly disconnect: () => void;
}

/** @param onEnd called when a connection ends that was not closed by us: most often because its process died */
export function processWatch(
  credentials: Credentials,
  onEnd: (database: string) => void,
  timeoutMs = TIMEOUT_MS,
): ProcessWatch {
  const watched = new Map<string, Watched>();

  function drop(database: string): void {
    const found = watched.get(database);
    watched.delete(database);
    found?.disconnect();
  }

  function connection(peer: Peer): Promise<Redis> {
    const { database, endpoint, pid } = peer;
    const identity = `${endpoint.address}:${endpoint.port} ${pid ?? ''}`;
    const open = watched.get(database);
    if (open?.identity === identity) return open.redis;
    drop(database);
    const redis = openRedis(endpoint, credentials, { timeoutMs });
    let wasOpen = false;
    const opening = reach(endpoint, timeoutMs)
      .then(() => {
        // It was dropped meanwhile: nobody would ever close it.
        if (redis.status !== 'wait') throw new Error('Connection is closed.');
        return connect(redis);
      })
      .then(() => {
        wasOpen = true;
        return redis;
      });
    const mine: Watched = { identity, redis: opening, disconnect: () => redis.disconnect() };
    watched.set(database, mine);
    // Whoever asked is told; the next one shall try anew.
    mine.redis.catch(() => {
      if (watched.get(database) === mine) watched.delete(database);
    });
    redis.once('end', () => {
      if (watched.get(database) !== mine) return;
      watched.delete(database);
      if (wasOpen) onEnd(database);
    });
    return mine.redis;
  }

  return {
    connection,
    drop,
    async facts(process) {
      if (process.pid === null) {
        drop(process.database);
        return { facts: null, why: 'it does not run' };
      }
      try {
        const redis = await connection(process);
        return { facts: parseProcessFacts(await redis.info()) };
      } catch (error) {
        return { facts: null, why: messageOf(describeRedisError(process.endpoint, error, timeoutMs)) };
      }
    },
    close() {
      [...watched.keys()].forEach(drop);
    },
  };
}

async function connect(redis: Redis): Promise<void> {
  // `connect()` rejects with "Connection is closed."; the cause comes as an event.
  let cause: unknown = null;
  redis.on('error', (error) => (cause = error));
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    throw cause ?? error;
  }
}
