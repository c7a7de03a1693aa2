/** One client that writes all the time, and knows of every write when and by whom it was acknowledged. */

import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf } from '../fleet/errors.js';
import { Acknowledgements } from './acknowledgements.js';
import { openClient, type Address, type Login } from './clients.js';
import {
  now,
  type StreamFigures,
  type StreamOptions,
  type StreamVerification,
  type Window,
} from './trafficContract.js';

const TICK_MS = 1;
/** Of a client at full speed whose last write was refused: it tries again at once, and does not burn the processor. */
const AFTER_REFUSAL_MS = 1;
/** One bit of a key a write, so that the database stays as large as it is for as long as it is measured. */
const BITS_PER_KEY = 1 << 16;
const READ_TIMEOUT_MS = 30_000;

export class TrafficStream {
  readonly #prefix = `traffic:${randomBytes(4).toString('hex')}:`;
  readonly #problems = new Set<string>();
  readonly #acknowledgements = new Acknowledgements();
  #sequence = 0;
  #failed = 0;
  #waiting = 0;
  #running = true;
  #end: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => (this.#end = resolve));
  readonly #loop: Promise<void>;
  /** That the connection goes to now. */
  #server = '';

  constructor(
    readonly options: StreamOptions,
    readonly client: Redis,
  ) {
    // Without a listener ioredis prints them; what matters arrives through the promises.
    client.on('error', (error) => this.#note(error));
    client.on('connect', () => (this.#server = this.#serverName()));
    this.#loop = options.rate === 'full' ? this.#atFullSpeed() : this.#paced(options.rate);
  }

  figures({ from, to = now() }: Window): StreamFigures {
    const { acknowledged, gap, by } = this.#acknowledgements.in({ from, to });
    return {
      name: this.options.name,
      acknowledged,
      failed: this.#failed,
      longestGapMs: gap.to - gap.from,
      gap,
      by,
      problems: [...this.#problems],
    };
  }

  /** Ends the writing. What is not answered by then never counts. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#end();
    await this.#loop;
    // It does not come back from this end.
    this.client.removeAllListeners('end');
    this.client.disconnect();
  }

  /** Looks for every acknowledged write in one process. @throws whatever the connection fails with */
  async verify(where: Address, login: Login): Promise<StreamVerification> {
    const reader = openClient(where, login, READ_TIMEOUT_MS);
    try {
      await reader.connect();
      const bits: (Buffer | null)[] = [];
      for (let key = 0; key * BITS_PER_KEY < this.#sequence; key++) {
        bits.push(await reader.getBuffer(this.#key(key)));
      }
      const lostBy = this.#acknowledgements.missing((sequence) => {
        const byte = bits[Math.floor(sequence / BITS_PER_KEY)]?.[(sequence % BITS_PER_KEY) >> 3] ?? 0;
        return (byte & (0x80 >> (sequence % 8))) !== 0;
      });
      const lost = Object.values(lostBy).reduce((sum, count) => sum + count, 0);
      return { name: this.options.name, acknowledged: this.#acknowledgements.count, lost, lostBy };
    } finally {
      reader.disconnect();
    }
  }

  /** What a stall kept from being written is not made up for: it is steady, not a burst. */
  async #paced(rate: number): Promise<void> {
    let due = 0;
    let last = now();
    while (this.#running) {
      await pause(TICK_MS);
      const time = now();
      due = Math.min(due + ((time - last) / 1000) * rate, Math.max(1, rate / 100));
      last = time;
      for (; due >= 1; due--) if (this.#waiting < this.options.inFlight) void this.#write();
    }
  }

  async #atFullSpeed(): Promise<void> {
    const writers = Array.from({ length: this.options.inFlight }, async () => {
      while (this.#running) if (!(await this.#write())) await pause(AFTER_REFUSAL_MS);
    });
    // A write that is never answered must not keep it from ending.
    await Promise.race([Promise.all(writers), this.#ended]);
  }

  /** Whether it was acknowledged. */
  async #write(): Promise<boolean> {
    const sequence = this.#sequence++;
    this.#waiting++;
    const key = this.#key(Math.floor(sequence / BITS_PER_KEY));
    try {
      await this.client.setbit(key, sequence % BITS_PER_KEY, 1);
      if (this.#running) this.#acknowledgements.add(sequence, now(), this.#server);
      return true;
    } catch (error) {
      if (this.#running) {
        this.#failed++;
        this.#note(error);
      }
      return false;
    } finally {
      this.#waiting--;
    }
  }

  #key(index: number): string {
    return `${this.#prefix}${index}`;
  }

  #serverName(): string {
    // `stream` is the socket of the moment.
    const { stream } = this.client as unknown as { stream: { remoteAddress?: string; remotePort?: number } };
    return `${stream.remoteAddress ?? '?'}:${stream.remotePort ?? '?'}`;
  }

  #note(error: unknown): void {
    if (this.#problems.size < 5) this.#problems.add(messageOf(error));
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
