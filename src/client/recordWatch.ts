/** One database's record, as it is followed. An outage of Consul changes nothing of what is known. */

import { messageOf } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import { showEndpoint } from '../fleet/record.js';
import { parseRecord } from '../fleet/recordFormat.js';
import type { Entry } from '../records/kv.js';
import type { LastKnown } from './lastKnown.js';
import type { RecordFeed } from './recordFeed.js';
import { sameForClients, type KnownRecord } from './target.js';

/** pino and the console are such logs. */
export interface ClientLog {
  info(message: string): void;
  warn(message: string): void;
}

export interface RecordWatchOptions {
  readonly feed: RecordFeed;
  readonly fleet: string;
  readonly database: string;
  readonly log: ClientLog;
  readonly lastKnown: LastKnown | null;
}

/** Consul that does not answer at all for so long is taken for away. */
const CONSUL_PATIENCE_MS = 1_000;
/** At the most so often a client that is in trouble asks beside the blocking query. */
const NUDGE_EVERY_MS = 500;
/** The blocking query pauses for longer and longer in an outage; a change of leader right after it must not wait. */
const OUTAGE_NUDGE_MS = 1_000;

export class RecordWatch {
  readonly #options: RecordWatchOptions;
  readonly #key: string;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #record: KnownRecord | null = null;
  /** Consul's index of what was seen last; null: nothing was, in Consul. */
  #index: number | null = null;
  #problem: string | null = null;
  /** Runs while Consul is away. */
  #outage: NodeJS.Timeout | null = null;
  #nudgedAt = Number.NEGATIVE_INFINITY;

  constructor(options: RecordWatchOptions) {
    this.#options = options;
    this.#key = consulKeys(options.fleet).database(options.database);
    this.#follow();
  }

  /** null: nothing is known yet. */
  get record(): KnownRecord | null {
    return this.#record;
  }

  /** Why the record is what it is, for messages. */
  get state(): string {
    const { database } = this.#options;
    if (this.#record === null) return this.#problem ?? `Consul has not said yet who leads ${database}`;
    const named =
      this.#record.epoch === 0
        ? 'it is being provisioned'
        : `the record names ${showEndpoint(this.#record.leader)} at epoch ${this.#record.epoch}`;
    return this.#problem === null ? named : `${named}, as last seen: ${this.#problem}`;
  }

  /** Calls `listener` after every change. Returns what ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Something speaks against the record as it is known. A blocking query that hangs, or pauses after an outage, must
   * not keep a client from what Consul knows by now.
   */
  nudge(): void {
    const now = performance.now();
    if (now - this.#nudgedAt < NUDGE_EVERY_MS || this.#stop.signal.aborted) return;
    this.#nudgedAt = now;
    this.#options.feed.look(this.#options.database).then(
      (entry) => {
        const wasAway = this.#outageEnds();
        // The blocking query may have been faster.
        const newer = (entry?.modifyIndex ?? -1) > (this.#index ?? -1);
        if (!this.#stop.signal.aborted && (newer || wasAway)) this.#saw(entry);
      },
      // The blocking query says so.
      () => undefined,
    );
  }

  close(): void {
    this.#stop.abort();
    this.#outageEnds();
    this.#listeners.clear();
  }

  #follow(): void {
    const { feed, log, database } = this.#options;
    const patience = setTimeout(() => this.#away('Consul does not answer'), CONSUL_PATIENCE_MS);
    this.#stop.signal.addEventListener('abort', () => clearTimeout(patience));
    feed.follow(database, {
      onEntry: (entry) => {
        clearTimeout(patience);
        this.#outageEnds();
        this.#saw(entry);
      },
      onProblem: (problem) => {
        clearTimeout(patience);
        log.warn(`${database}: ${problem.message} The last record seen stays.`);
        this.#away(problem.message.replace(/\.$/, ''));
        this.#outage ??= setInterval(() => this.nudge(), OUTAGE_NUDGE_MS);
      },
      onEnd: (error) => {
        clearTimeout(patience);
        log.warn(`${database}: its record is followed no more: ${messageOf(error)}`);
      },
    });
  }

  /** true: there was one. */
  #outageEnds(): boolean {
    if (this.#outage === null) return false;
    clearInterval(this.#outage);
    this.#outage = null;
    return true;
  }

  #away(problem: string): void {
    this.#problem = problem;
    if (this.#record !== null) return;
    const known = this.#options.lastKnown?.read(this.#options.database) ?? null;
    if (known === null || this.#stop.signal.aborted) return;
    this.#options.log.warn(
      `${known.database}: ${problem}. Using the record of its last known state, epoch ${known.epoch}.`,
    );
    this.#change(known);
  }

  #saw(entry: Entry | null): void {
    const { database, log } = this.#options;
    if (entry === null) {
      this.#problem = `Consul has no record of ${database} (${this.#key})`;
      return;
    }
    this.#index = entry.modifyIndex;
    let record: KnownRecord;
    try {
      record = parseRecord(entry.text, { key: entry.key, database });
    } catch (error) {
      this.#problem = messageOf(error);
      log.warn(`${this.#problem} Its last good record is used.`);
      return;
    }
    this.#problem = null;
    this.#change(record);
    this.#options.lastKnown?.write(record).catch((error: unknown) => {
      log.warn(`${database}: its record could not be kept for an outage of Consul: ${messageOf(error)}`);
    });
  }

  /** Claims and the like change a record, and nothing for a client. */
  #change(record: KnownRecord): void {
    const before = this.#record;
    this.#record = record;
    if (before !== null && sameForClients(before, record)) return;
    for (const listener of this.#listeners) listener();
  }
}
