/** What a follower itself says of its link to its leader. */

import type { Credentials } from '../../connections/credentials.js';
import type { Redis } from '../../connections/redis.js';
import type { LeaderSightings } from '../../fleet/failure.js';
import type { Endpoint } from '../../fleet/record.js';
import type { WarmConnections } from '../warmConnections.js';
import { KeptConnection } from './keptConnection.js';

export interface FollowerProbeOptions {
  readonly endpoint: Endpoint;
  /** Whom it shall follow. */
  readonly leader: Endpoint;
  readonly credentials: Pick<Credentials, 'administrator'>;
  readonly downAfterMs: number;
  /** To whoever may have to promote it. */
  readonly lend?: WarmConnections['lend'];
  /** Something else was seen than before. */
  readonly onSeen: () => void;
}

/** While nobody misses its leader. */
export const FOLLOWER_ASKED_EVERY_MS = 5_000;

interface Look {
  readonly at: number;
  readonly up: boolean;
  readonly silentForMs: number;
}

export class FollowerProbe {
  readonly #connection: KeptConnection;
  #look: Look | null = null;
  #askedAt: number | null = null;
  readonly #closing = new AbortController();
  readonly #takeBack: (() => void) | undefined;

  constructor(private readonly options: FollowerProbeOptions) {
    const { endpoint, credentials, downAfterMs } = options;
    this.#connection = new KeptConnection({
      endpoint,
      credentials,
      timeoutMs: downAfterMs,
      onEnd: () => (this.#look = null),
    });
    this.#takeBack = options.lend?.(endpoint, () => this.#connection.open);
  }

  /** null: it does not answer, or follows somebody else. */
  link(now: number): LeaderSightings['followerLink'] {
    const look = this.#look;
    if (look === null || now - look.at > 2 * FOLLOWER_ASKED_EVERY_MS) return null;
    // What was seen a while ago is as old as that.
    return { up: look.up, silentForMs: look.silentForMs + (now - look.at) };
  }

  /** Milliseconds since it was last asked and has answered, or failed to. */
  age(now: number): number {
    return this.#look === null ? Infinity : now - this.#look.at;
  }

  /** Asks, unless an answer is still awaited. Never throws. */
  async ask(): Promise<void> {
    if (this.#askedAt !== null || this.#isClosed()) return;
    const before = this.#look;
    const askedAt = performance.now();
    this.#askedAt = askedAt;
    const look = (redis: Redis): Promise<string> => redis.info('replication');
    try {
      this.#look = this.#read(await this.#connection.ask(look, look), askedAt);
    } catch {
      this.#look = null;
    } finally {
      this.#askedAt = null;
    }
    const same = before?.up === this.#look?.up && before?.silentForMs === this.#look?.silentForMs;
    if (!same && !this.#isClosed()) this.options.onSeen();
  }

  close(): void {
    this.#closing.abort();
    this.#takeBack?.();
    this.#connection.close();
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  #read(info: string, at: number): Look | null {
    const field = (name: string): string | null =>
      new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? null;
    const { leader } = this.options;
    if (field('master_host') !== leader.address || field('master_port') !== String(leader.port)) return null;
    const up = field('master_link_status') === 'up';
    const seconds = Number(field(up ? 'master_last_io_seconds_ago' : 'master_link_down_since_seconds') ?? 0);
    return { at, up, silentForMs: Math.max(0, seconds) * 1_000 };
  }
}
