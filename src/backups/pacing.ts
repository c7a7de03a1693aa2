/** A rate limit on a stream, so that a backup leaves a host's disk and network to Redis. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Pieces } from './store/store.js';

/** What may be caught up after a pause of others' making: a burst of no more than this. */
const BURST_MS = 250;

/**
 * When the next piece may go, for `rate` bytes a second.
 * @param now milliseconds of a clock that never goes back
 */
export class Pace {
  /** When everything so far is paid for. */
  #paidUntil = Number.NEGATIVE_INFINITY;

  constructor(readonly rate: number) {}

  /** @returns milliseconds to wait before `bytes` may pass */
  wait(bytes: number, now: number): number {
    const begin = Math.max(this.#paidUntil, now - BURST_MS);
    this.#paidUntil = begin + (bytes / this.rate) * 1_000;
    return Math.max(0, this.#paidUntil - now);
  }
}

/** @param bytesPerSecond null: as fast as it goes */
export async function* paced(content: Pieces, bytesPerSecond: number | null, signal?: AbortSignal): Pieces {
  if (bytesPerSecond === null) {
    yield* content;
    return;
  }
  const pace = new Pace(bytesPerSecond);
  for await (const piece of content) {
    const wait = pace.wait(piece.length, performance.now());
    if (wait >= 1) await pause(wait, undefined, signal === undefined ? {} : { signal });
    yield piece;
  }
}
