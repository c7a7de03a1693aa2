/** What the control plane itself sees of one leader, over a connection that is kept open. */

import type { Credentials } from '../../connections/credentials.js';
import { messageOf } from '../../fleet/errors.js';
import type { Sighting } from '../../fleet/failure.js';
import { parseProcessFacts } from '../../fleet/processFacts.js';
import type { Endpoint } from '../../fleet/record.js';
import { KeptConnection } from './keptConnection.js';
import type { Redis } from '../../connections/redis.js';

export interface LeaderProbeOptions {
  readonly endpoint: Endpoint;
  readonly credentials: Pick<Credentials, 'administrator'>;
  readonly downAfterMs: number;
  /** Of the process that led when it was last seen; null: it was not seen yet. */
  readonly runId: string | null;
  /** Something else was seen than before. */
  readonly onSeen: () => void;
}

/** Of `downAfter`. Its agent tells at once when it runs again. */
const REFUSED_HOLDS = 0.7;

type Answer = Exclude<Sighting, { readonly seen: 'silent' }>;

export class LeaderProbe {
  readonly #connection: KeptConnection;
  #runId: string | null;
  /** Of the process that answered last. */
  #answering: string | null = null;
  #answer: Answer | null = null;
  #answeredAt = performance.now();
  #askedAt: number | null = null;
  /** The connection ended while a question was under way. */
  #again = false;
  #lostAt = -Infinity;
  #refusedAt = -Infinity;
  readonly #closing = new AbortController();

  constructor(private readonly options: LeaderProbeOptions) {
    const { endpoint, credentials, downAfterMs, runId } = options;
    this.#runId = runId;
    this.#connection = new KeptConnection({
      endpoint,
      credentials,
      timeoutMs: downAfterMs,
      onEnd: () => this.#lost(),
    });
  }

  /** Of the process that leads; null: none was seen leading yet. */
  get runId(): string | null {
    return this.#runId;
  }

  /** Milliseconds of this process's monotonic clock. */
  get lastLedAt(): number | null {
    return this.#answer?.seen === 'leading' ? this.#answeredAt : null;
  }

  sighting(now: number): Sighting {
    const waits = this.#askedAt !== null && now - this.#askedAt > this.options.downAfterMs / 4;
    if (this.#answer !== null && !waits) return this.#answer;
    return { seen: 'silent', forMs: now - this.#answeredAt };
  }

  /** At the usual pace: a host that refused a moment ago is left alone for a while. */
  async askAgain(): Promise<void> {
    const refusedLately = performance.now() - this.#refusedAt < this.options.downAfterMs * REFUSED_HOLDS;
    if (!refusedLately) await this.ask();
  }

  /** Asks, unless an answer is still awaited. Never throws. */
  async ask(): Promise<void> {
    if (this.#askedAt !== null || this.#isClosed()) return;
    const before = this.#answer;
    this.#askedAt = performance.now();
    try {
      const loads = this.#answer?.seen === 'loading' || isLoading(this.#answer);
      const answer = await this.#connection.ask(
        (redis) => (loads ? this.#look(redis) : this.#role(redis)),
        (redis) => this.#look(redis),
      );
      this.#answered(answer);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#askedAt = null;
    }
    if (this.#isClosed()) return;
    if (this.#again) {
      this.#again = false;
      void this.ask();
    }
    if (before?.seen !== this.#answer?.seen) this.options.onSeen();
  }

  /** The process that answers is the leader, although it is another one than before: its follower follows it. */
  adopt(): void {
    if (this.#answer?.seen !== 'reborn' || this.#answering === null) return;
    this.#runId = this.#answering;
    this.#answer = { seen: 'leading' };
  }

  /** The silence so far was our own: count anew. */
  forgiveSilence(now: number): void {
    this.#answeredAt = now;
  }

  close(): void {
    this.#closing.abort();
    this.#connection.close();
  }

  #answered(answer: Answer): void {
    this.#answer = answer;
    this.#answeredAt = performance.now();
  }

  #failed(error: unknown): void {
    if (codeOf(error) === 'ECONNREFUSED') {
      // A host that refuses answers; the leader does not: its silence goes on.
      this.#answer = { seen: 'refused' };
      this.#refusedAt = performance.now();
      return;
    }
    // We were let in before: whoever asks for another password is somebody else.
    if (/^(WRONGPASS|NOAUTH)\b/.test(messageOf(error)) && this.#runId !== null) {
      this.#answering = null;
      this.#answered({ seen: 'reborn' });
      return;
    }
    this.#answer = null;
  }

  /** A connection that ends is asked again at once: a process that is gone refuses. */
  #lost(): void {
    if (this.#answer?.seen === 'leading') {
      this.#answer = null;
      this.options.onSeen();
    }
    const now = performance.now();
    // Somebody who closes every connection is asked at the usual pace.
    if (now - this.#lostAt < this.options.downAfterMs / 4) return;
    this.#lostAt = now;
    if (this.#askedAt === null) void this.ask();
    else this.#again = true;
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #role(redis: Redis): Promise<Answer> {
    const role: unknown = await redis.call('ROLE');
    if (Array.isArray(role) && role[0] === 'master') {
      return this.#answer?.seen === 'reborn' ? this.#answer : { seen: 'leading' };
    }
    return { seen: 'not leading', loading: false };
  }

  async #look(redis: Redis): Promise<Answer> {
    const { role, loading, runId } = parseProcessFacts(await redis.info());
    this.#answering = runId;
    if (role === 'follower') return { seen: 'not leading', loading };
    if (loading) return { seen: 'loading' };
    this.#runId ??= runId;
    return this.#runId === runId ? { seen: 'leading' } : { seen: 'reborn' };
  }
}

function isLoading(answer: Answer | null): boolean {
  return answer?.seen === 'not leading' && answer.loading;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : null;
}
