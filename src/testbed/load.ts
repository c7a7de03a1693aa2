/** Real, mixed data: strings, hashes, lists and sorted sets; the same for the same seed; half of it compressible. */

import type { ChainableCommander } from 'ioredis';
import { FleetError } from '../fleet/errors.js';
import { SeededRandom } from './random.js';
import { openClient } from './clients.js';
import type { Address, Login } from './clients.js';

export interface LoadOptions extends Login {
  readonly where: Address;
  /** Of payload; what Redis needs for it is some 10 to 40 % more. */
  readonly megabytes: number;
  readonly seed: number;
  /** How much of it is text that compresses well, from 0 to 1. Default 0.5. */
  readonly compressible?: number;
  /** Start of the keys' names. Default `load:<seed>:`. */
  readonly prefix?: string;
}

export interface Loaded {
  readonly keys: number;
  readonly bytes: number;
  readonly seconds: number;
}

const BATCH = 256;
const POOL = 1 << 20;
const WORDS = 'session user basket price offer token region device status expires created cache visit'.split(
  ' ',
);

/** @throws Unreachable, or whatever the leader answers to a write, e.g. OOM */
export async function loadData(options: LoadOptions): Promise<Loaded> {
  const { where } = options;
  const started = performance.now();
  const client = openClient(where, options, 30_000);
  try {
    await client.connect();
    const source = new DataSource(
      options.seed,
      options.prefix ?? `load:${options.seed}:`,
      options.compressible ?? 0.5,
    );
    const wanted = options.megabytes * 1e6;
    // The next batch is built while the last one travels.
    let underWay: Promise<void> = Promise.resolve();
    while (source.bytes < wanted) {
      const pipeline = client.pipeline();
      for (let n = 0; n < BATCH && source.bytes < wanted; n++) source.addTo(pipeline);
      await underWay;
      underWay = sent(pipeline, where);
      // Awaited in the next round; without this a failure in between would count as unhandled.
      underWay.catch(() => undefined);
    }
    await underWay;
    return { keys: source.keys, bytes: source.bytes, seconds: (performance.now() - started) / 1000 };
  } finally {
    client.disconnect();
  }
}

async function sent(pipeline: ChainableCommander, where: Address): Promise<void> {
  for (const [error] of (await pipeline.exec()) ?? []) {
    if (error) {
      throw new FleetError('Unreachable', `Loading ${where.address}:${where.port} failed: ${error.message}`, {
        cause: error,
      });
    }
  }
}

class DataSource {
  keys = 0;
  bytes = 0;
  readonly #random: SeededRandom;
  readonly #text: string;
  readonly #noise: string;

  constructor(
    seed: number,
    readonly prefix: string,
    readonly compressible: number,
  ) {
    this.#random = new SeededRandom(seed);
    this.#text = textPool(this.#random);
    this.#noise = noisePool(this.#random);
  }

  addTo(pipeline: ChainableCommander): void {
    const key = `${this.prefix}${this.keys++}`;
    this.bytes += key.length;
    const kind = this.#random.next();
    if (kind < 0.5) pipeline.set(`${key}:s`, this.#value(200, 2000));
    else if (kind < 0.75) pipeline.hset(`${key}:h`, this.#fields());
    else if (kind < 0.9) pipeline.rpush(`${key}:l`, ...this.#values(5, 40, 20, 120));
    else pipeline.zadd(`${key}:z`, ...this.#scores());
  }

  /** A slice of one of the two pools: cheap to make, and not the same twice. */
  #value(low: number, high: number): string {
    const length = this.#random.between(low, high);
    const pool = this.#random.next() < this.compressible ? this.#text : this.#noise;
    const start = this.#random.between(0, POOL - length);
    this.bytes += length;
    return pool.slice(start, start + length);
  }

  #values(fewest: number, most: number, low: number, high: number): string[] {
    return Array.from({ length: this.#random.between(fewest, most) }, () => this.#value(low, high));
  }

  #fields(): Record<string, string> {
    const count = this.#random.between(4, 30);
    const fields: Record<string, string> = {};
    for (let n = 0; n < count; n++) fields[`field${n}`] = this.#value(10, 100);
    return fields;
  }

  #scores(): (string | number)[] {
    return this.#values(5, 40, 8, 24).flatMap((member, index) => [
      this.#random.between(0, 1e6),
      `${index}${member}`,
    ]);
  }
}

function textPool(random: SeededRandom): string {
  const parts: string[] = [];
  for (let length = 0; length < POOL;) {
    const word = WORDS[random.between(0, WORDS.length - 1)] ?? '';
    const part = `"${word}":${random.between(0, 9999)},`;
    parts.push(part);
    length += part.length;
  }
  return parts.join('').slice(0, POOL);
}

function noisePool(random: SeededRandom): string {
  const bytes = Buffer.alloc((POOL * 3) / 4);
  for (let at = 0; at < bytes.length; at += 4)
    bytes.writeUInt32LE(Math.floor(random.next() * 4294967296), at);
  return bytes.toString('base64');
}
