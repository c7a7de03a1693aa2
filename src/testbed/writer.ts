/** A steady writer that remembers what was acknowledged, and afterwards asks a process whether it has it all. */

import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { FleetError, messageOf } from '../fleet/errors.js';
import { AckLog } from './ackLog.js';
import { openClient } from './clients.js';
import type { Address, Login } from './clients.js';
import { pause } from './waiting.js';

export type WriterOptions = WriterSettings & (Located | Opened);

export interface Located {
  /** Where the leader is; asked again before every new connection. */
  readonly locate: () => Promise<Address> | Address;
}

export interface Opened {
  /**
   * A client that finds the leader by itself, and decides itself how long it waits for an answer. The writer writes
   * through this one all the time, whatever fails, and disconnects it in the end.
   */
  readonly open: () => Redis;
}

export interface WriterSettings extends Login {
  /** Writes a second, or as many as the leader takes. */
  readonly rate: number | 'full';
  /** Writes that may wait for their answers at once. Default 256. */
  readonly inFlight?: number;
  /** A write without an answer for so long is given up, and the leader is looked for again. Default 1000. */
  readonly answerWithinMs?: number;
  /** Start of the keys' names. Default: a random one, so that writers never share keys. */
  readonly prefix?: string;
}

export interface WriterCounts {
  readonly issued: number;
  readonly acknowledged: number;
  /** Refused, or without an answer: the outcome is unknown, so they count neither as written nor as lost. */
  readonly failed: number;
  /** Between two acknowledgements, or the last one and the end. Milliseconds. */
  readonly longestGapMs: number;
  /** First messages of failures, at most five different ones. */
  readonly problems: readonly string[];
}

export interface Verification {
  readonly acknowledged: number;
  /** Acknowledged, but not there or not with the value that was written. */
  readonly lost: number;
  /** The first lost sequence numbers, at most ten. */
  readonly firstLost: readonly number[];
}

const TICK_MS = 5;
const READ_BATCH = 1000;
const READ_TIMEOUT_MS = 10_000;

export class Writer {
  readonly #options: WriterOptions;
  readonly #prefix: string;
  readonly #log = new AckLog();
  readonly #problems = new Set<string>();
  #running = true;
  #loop: Promise<void> = Promise.resolve();
  #sequence = 0;
  #failed = 0;
  #waiting = 0;
  #lastAnswer: number | null = null;
  #longestGap = 0;
  #client: Redis | null = null;
  /** Told to end already: the rest of what it was sent fails, too. */
  #left: Redis | null = null;
  /** Resolved when there is room for another write. */
  #room: (() => void) | null = null;

  private constructor(options: WriterOptions) {
    this.#options = options;
    this.#prefix = options.prefix ?? `writer:${randomBytes(4).toString('hex')}:`;
  }

  static start(options: WriterOptions): Writer {
    const writer = new Writer(options);
    writer.#loop = writer.#run();
    return writer;
  }

  get counts(): WriterCounts {
    const openGap = this.#running && this.#lastAnswer !== null ? performance.now() - this.#lastAnswer : 0;
    return {
      issued: this.#sequence,
      acknowledged: this.#log.count,
      failed: this.#failed,
      longestGapMs: Math.max(this.#longestGap, openGap),
      problems: [...this.#problems],
    };
  }

  /** Ends the writing and waits for outstanding answers; the counts do not change afterwards. */
  async stop(): Promise<WriterCounts> {
    if (this.#running) {
      this.#running = false;
      this.#room?.();
      await this.#loop;
      if (this.#lastAnswer !== null) {
        this.#longestGap = Math.max(this.#longestGap, performance.now() - this.#lastAnswer);
      }
    }
    return this.counts;
  }

  /**
   * Reads every acknowledged write back from one process, leader or follower.
   * @throws Unreachable when the process cannot be read
   */
  async verify(where: Address, login: Login = this.#options): Promise<Verification> {
    const client = openClient(where, login, READ_TIMEOUT_MS);
    try {
      await client.connect();
      let lost = 0;
      const firstLost: number[] = [];
      for (const batch of this.#log.batches(READ_BATCH)) {
        const values = await client.mget(batch.map((sequence) => this.#key(sequence)));
        for (const [index, sequence] of batch.entries()) {
          if (values[index] === String(sequence)) continue;
          lost++;
          if (firstLost.length < 10) firstLost.push(sequence);
        }
      }
      return { acknowledged: this.#log.count, lost, firstLost };
    } catch (error) {
      throw new FleetError(
        'Unreachable',
        `Could not read the writes back from ${where.address}:${where.port}: ${messageOf(error)}`,
        { cause: error },
      );
    } finally {
      client.disconnect();
    }
  }

  async #run(): Promise<void> {
    const options = this.#options;
    if ('open' in options) {
      await this.#writeThrough(options.open());
      return;
    }
    while (this.#running) {
      try {
        const where = await options.locate();
        await this.#writeTo(where);
      } catch (error) {
        this.#note(error);
      }
      if (this.#isRunning()) await pause(TICK_MS);
    }
  }

  /** Writes until told to stop, or until the connection or an answer fails. */
  async #writeTo(where: Address): Promise<void> {
    const client = openClient(where, this.#options, this.#options.answerWithinMs ?? 1000);
    client.on('close', () => this.#room?.());
    this.#client = client;
    try {
      await client.connect();
      await this.#writeWhile(client, () => client.status === 'ready');
      while (this.#waiting > 0 && client.status === 'ready') await this.#untilRoom();
    } finally {
      client.disconnect();
      this.#client = null;
      while (this.#waiting > 0) await this.#untilRoom();
    }
  }

  async #writeThrough(client: Redis): Promise<void> {
    try {
      await this.#writeWhile(client, () => true);
      while (this.#waiting > 0) await this.#untilRoom();
    } finally {
      client.disconnect();
    }
  }

  /** Until told to stop. */
  async #writeWhile(client: Redis, usable: () => boolean): Promise<void> {
    const started = performance.now();
    let issued = 0;
    while (this.#isRunning() && usable()) {
      const free = (this.#options.inFlight ?? 256) - this.#waiting;
      if (this.#options.rate === 'full') {
        for (let n = 0; n < free; n++) this.#write(client);
        await this.#untilRoom();
      } else {
        // What a stall kept from being written is not made up for: the writer is steady, not a burst.
        const due = Math.floor(((performance.now() - started) / 1000) * this.#options.rate) - issued;
        for (let n = 0; n < Math.min(due, free); n++) this.#write(client);
        issued += due;
        await pause(TICK_MS);
      }
    }
  }

  /** Another turn of the event loop may have ended it: a method, so that the compiler does not think it knows. */
  #isRunning(): boolean {
    return this.#running;
  }

  #write(client: Redis): void {
    const sequence = this.#sequence++;
    this.#waiting++;
    client.set(this.#key(sequence), String(sequence)).then(
      () => this.#acknowledged(sequence),
      (error: unknown) => this.#gaveUp(error),
    );
  }

  #acknowledged(sequence: number): void {
    const now = performance.now();
    if (this.#lastAnswer !== null) this.#longestGap = Math.max(this.#longestGap, now - this.#lastAnswer);
    this.#lastAnswer = now;
    this.#log.add(sequence);
    this.#answered();
  }

  #gaveUp(error: unknown): void {
    this.#failed++;
    this.#note(error);
    // READONLY, a fence or no answer: this is not the leader any more, or not now. Look again.
    if (this.#client?.status === 'ready' && this.#left !== this.#client) {
      this.#left = this.#client;
      this.#client.disconnect();
    }
    this.#answered();
  }

  #answered(): void {
    this.#waiting--;
    this.#room?.();
  }

  #untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#room = () => {
        this.#room = null;
        // After the answers of the same packet, so that full speed writes in batches.
        setImmediate(resolve);
      };
    });
  }

  #key(sequence: number): string {
    return `${this.#prefix}${sequence}`;
  }

  #note(error: unknown): void {
    if (this.#problems.size < 5) this.#problems.add(messageOf(error));
  }
}
