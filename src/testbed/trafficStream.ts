/** One client that writes all the time, and knows of every write when and by whom it was acknowledged. */

import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf } from '../fleet/errors.js';
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
  readonly #servers: string[] = [];
  readonly #problems = new Set<string>();
  /** One entry for every acknowledgement, in the order of their arrival. */
  readonly #sequences = new Column();
  readonly #times = new Column();
  readonly #by = new Column();
  #sequence = 0;
  #failed = 0;
  #waiting = 0;
  #running = true;
  #end: (acknowledged: false) => void = () => undefined;
  readonly #ended = new Promise<false>((resolve) => (this.#end = resolve));
  readonly #loop: Promise<void>;
  /** Index of the server that the connection goes to now. */
  #server = 0;

  constructor(
    readonly options: StreamOptions,
    readonly client: Redis,
  ) {
    // Without a listener ioredis prints them; what matters arrives through the promises.
    client.on('error', (error) => this.#note(error));
    client.on('connect', () => (this.#server = this.#serverIndex()));
    this.#loop = options.rate === 'full' ? this.#atFullSpeed() : this.#paced(options.rate);
  }

  figures({ from, to = now() }: Window): StreamFigures {
    const by: Record<string, { count: number; last: number }> = {};
    let acknowledged = 0;
    // The gap may have begun before the window: an outage is over when a write is acknowledged, however long it lasts.
    let previous = from;
    let gap = { from, to: from };
    for (let index = 0; index < this.#times.length; index++) {
      const time = this.#times.at(index);
      if (time > to) break;
      if (time >= from) {
        if (time - previous > gap.to - gap.from) gap = { from: previous, to: time };
        acknowledged++;
        const server = (by[this.#servers[this.#by.at(index)] ?? ''] ??= { count: 0, last: time });
        server.count++;
        server.last = time;
        previous = time;
      } else {
        previous = time;
        gap = { from: time, to: time };
      }
    }
    if (to - previous > gap.to - gap.from) gap = { from: previous, to };
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
    this.#end(false);
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
      const lostBy: Record<string, number> = {};
      let lost = 0;
      for (let index = 0; index < this.#sequences.length; index++) {
        const sequence = this.#sequences.at(index);
        const byte = bits[Math.floor(sequence / BITS_PER_KEY)]?.[(sequence % BITS_PER_KEY) >> 3] ?? 0;
        if ((byte & (0x80 >> (sequence % 8))) !== 0) continue;
        lost++;
        const server = this.#servers[this.#by.at(index)] ?? '';
        lostBy[server] = (lostBy[server] ?? 0) + 1;
      }
      return { name: this.options.name, acknowledged: this.#sequences.length, lost, lostBy };
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
      while (this.#running) {
        // A write that is never answered must not keep it from ending.
        const acknowledged = await Promise.race([this.#write(), this.#ended]);
        if (!acknowledged) await pause(AFTER_REFUSAL_MS);
      }
    });
    await Promise.all(writers);
  }

  /** Whether it was acknowledged. */
  async #write(): Promise<boolean> {
    const sequence = this.#sequence++;
    this.#waiting++;
    const key = this.#key(Math.floor(sequence / BITS_PER_KEY));
    try {
      await this.client.setbit(key, sequence % BITS_PER_KEY, 1);
      if (this.#running) {
        this.#sequences.push(sequence);
        this.#times.push(now());
        this.#by.push(this.#server);
      }
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

  #serverIndex(): number {
    // `stream` is the socket of the moment.
    const { stream } = this.client as unknown as { stream: { remoteAddress?: string; remotePort?: number } };
    const name = `${stream.remoteAddress ?? '?'}:${stream.remotePort ?? '?'}`;
    const known = this.#servers.indexOf(name);
    if (known >= 0) return known;
    return this.#servers.push(name) - 1;
  }

  #note(error: unknown): void {
    if (this.#problems.size < 5) this.#problems.add(messageOf(error));
  }
}

/** Numbers, many. */
class Column {
  length = 0;
  #values = new Float64Array(1 << 12);

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index] ?? NaN;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
