/** A bounded wait for the answers that are still on their way. */
export class Drain {
  #waiting: { readonly then: () => void; readonly timer: NodeJS.Timeout } | null = null;

  /** Calls `then` when `end` is called, or after `ms`; at once when nothing is under way. A wait before this is over. */
  wait(underWay: number, ms: number, then: () => void): void {
    this.forget();
    if (underWay === 0) then();
    else this.#waiting = { then, timer: setTimeout(() => this.end(), ms) };
  }

  end(): void {
    const waiting = this.#waiting;
    this.forget();
    waiting?.then();
  }

  forget(): void {
    if (this.#waiting) clearTimeout(this.#waiting.timer);
    this.#waiting = null;
  }
}
