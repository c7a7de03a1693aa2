/** One open connection to a process: opened when somebody asks, kept, and its end noticed at once. */

import type { Credentials } from '../../connections/credentials.js';
import { openRedis, type Redis } from '../../connections/redis.js';
import { reach } from '../../connections/reach.js';
import type { Endpoint } from '../../fleet/record.js';

export interface KeptConnectionOptions {
  readonly endpoint: Endpoint;
  readonly credentials: Pick<Credentials, 'administrator'>;
  /** For the connection, and for each command. */
  readonly timeoutMs: number;
  /** It ended, and not by us: most often because its process died. */
  readonly onEnd: () => void;
}

export class KeptConnection {
  #redis: Redis | null = null;
  #closed = false;

  constructor(private readonly options: KeptConnectionOptions) {}

  /**
   * Asks something of the process, and connects before when it has to. Whatever goes wrong, but for an error that
   * Redis itself replies, closes the connection.
   * @param greet asked once on each new connection
   * @throws what ioredis raises, with the cause of a connection that did not come about
   */
  async ask<T>(question: (redis: Redis) => Promise<T>, greet: (redis: Redis) => Promise<T>): Promise<T> {
    const open = this.#redis;
    if (open === null) {
      await reach(this.options.endpoint, this.options.timeoutMs);
      // Nobody would ever close it.
      if (this.#closed) throw new Error('Connection is closed.');
    }
    const redis = open ?? openRedis(this.options.endpoint, this.options.credentials, this.options);
    let cause: unknown = null;
    const remember = (error: unknown): void => void (cause = error);
    redis.on('error', remember);
    try {
      if (open !== null) return await question(open);
      this.#redis = redis;
      await redis.connect();
      redis.once('end', () => this.#ended(redis));
      return await greet(redis);
    } catch (error) {
      const replied = error instanceof Error && error.name === 'ReplyError' && open !== null;
      if (!replied) this.#drop(redis);
      throw cause ?? error;
    } finally {
      redis.off('error', remember);
    }
  }

  /** The open connection, for a question beside ours; null: there is none now. */
  get open(): Redis | null {
    return this.#redis?.status === 'ready' ? this.#redis : null;
  }

  close(): void {
    this.#closed = true;
    if (this.#redis !== null) this.#drop(this.#redis);
  }

  #ended(redis: Redis): void {
    if (this.#redis !== redis) return;
    this.#redis = null;
    if (!this.#closed) this.options.onEnd();
  }

  #drop(redis: Redis): void {
    if (this.#redis === redis) this.#redis = null;
    redis.disconnect();
  }
}
