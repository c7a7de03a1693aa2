interface Waiting {
  readonly then: () => void;
  readonly timer: NodeJS.Timeout;
}

/** A bounded wait for the answers that are still on their way. */
export class Drain {
  #waiting: Waiting | null = null;

  /** Calls `then` when `end` is called, or after `ms`; at once when nothing is under way. A wait before this is over. */
  wait(underWay: number, ms: number, then: () => void): void {
    this.forget();
    if (underWay === 0) then();
    else {
      // What came while the event loop was held up is read first.
      const waiting = { then, timer: setTimeout(() => setImmediate(() => this.#end(waiting)), ms) };
      this.#waiting = waiting;
    }
  }

  end(): void {
    this.#end(this.#waiting);
  }

  forget(): void {
    if (this.#waiting) clearTimeout(this.#waiting.timer);
    this.#waiting = null;
  }

  /** Unless it is over already. */
  #end(waiting: Waiting | null): void {
    if (waiting === null || waiting !== this.#waiting) return;
    this.forget();
    waiting.then();
  }
}
