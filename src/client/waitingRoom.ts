/** Commands that wait for a leader, in the order in which they were issued, and each for a bounded time. */

import type { Command } from 'ioredis';

export interface Waiting {
  readonly command: Command;
  /** Since it could not be sent, or was not executed, for the first time. As performance.now(). */
  since: number;
  /** It was sent once, and the answer never came. */
  maybeExecuted: boolean;
  /** What a leader said that did not take it. */
  refusal: Error | null;
}

/** Deadlines are looked at so often: a full room is not searched for every single one. Milliseconds. */
const SWEEP_EVERY_MS = 20;

export class WaitingRoom {
  readonly #maxWaitMs: number;
  readonly #expired: (waiting: Waiting) => void;
  readonly #known = new WeakMap<Command, Waiting>();
  /** Were sent before, and so come first. */
  #returned: Waiting[] = [];
  #fresh: Waiting[] = [];
  #sweep: NodeJS.Timeout | null = null;

  constructor(maxWaitMs: number, expired: (waiting: Waiting) => void) {
    this.#maxWaitMs = maxWaitMs;
    this.#expired = expired;
  }

  get size(): number {
    return this.#returned.length + this.#fresh.length;
  }

  add(command: Command): void {
    this.#fresh.push(this.#entry(command));
    this.#sweepLater();
  }

  /** It was sent, and has to be sent again: before everything that was issued after it. */
  putBack(command: Command, why: Partial<Pick<Waiting, 'maybeExecuted' | 'refusal'>>): void {
    const entry = this.#entry(command);
    // It may have been under way for long: the first loss begins its wait.
    if (why.maybeExecuted && !entry.maybeExecuted) entry.since = performance.now();
    this.#returned.push(Object.assign(entry, why));
    this.#sweepLater();
  }

  /** Everything that still waits, in order; the room is empty then. */
  take(): readonly Command[] {
    const all = [...this.#returned, ...this.#fresh].map(({ command }) => command);
    this.#returned = [];
    this.#fresh = [];
    if (this.#sweep) clearTimeout(this.#sweep);
    this.#sweep = null;
    return all.filter(({ isSettled }) => !isSettled);
  }

  rejectAll(error: Error): void {
    for (const command of this.take()) command.reject(error);
  }

  #entry(command: Command): Waiting {
    const known = this.#known.get(command);
    if (known) return known;
    const entry = { command, since: performance.now(), maybeExecuted: false, refusal: null };
    this.#known.set(command, entry);
    return entry;
  }

  #sweepLater(): void {
    if (this.#sweep) return;
    const oldest = this.#returned[0] ?? this.#fresh[0];
    if (!oldest) return;
    const due = oldest.since + this.#maxWaitMs - performance.now();
    this.#sweep = setTimeout(
      () => {
        this.#sweep = null;
        this.#returned = this.#returned.filter((waiting) => this.#stays(waiting));
        this.#fresh = this.#fresh.filter((waiting) => this.#stays(waiting));
        this.#sweepLater();
      },
      Math.max(due, SWEEP_EVERY_MS),
    );
  }

  #stays(waiting: Waiting): boolean {
    if (waiting.command.isSettled) return false;
    if (performance.now() - waiting.since < this.#maxWaitMs) return true;
    this.#expired(waiting);
    return false;
  }
}
