/** What the demo shows while it works: what it is at, and how long it has been. */

import process from 'node:process';
import type { ReportStep } from '../testbed/report.js';

/** Where nobody sees a line change: how often it says that it is still at it. */
const REMIND_EVERY_MS = 10_000;
const TICK_MS = 100;

export class Progress {
  readonly steps: ReportStep[] = [];
  readonly #started = performance.now();
  readonly #isTerminal = process.stdout.isTTY;
  #at: { readonly what: string; readonly since: number } | null = null;

  readonly #aborted: Promise<never>;

  constructor(readonly signal: AbortSignal) {
    this.#aborted = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
    });
    // Whoever is at a step sees it; between two steps nobody waits for it.
    this.#aborted.catch(() => undefined);
  }

  /** Seconds since the beginning. */
  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Does one step, unless the person has had enough. `name` begins with what is done, e.g. "load 25 MB". */
  async step<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    const since = performance.now();
    this.#at = { what: name, since };
    if (!this.#isTerminal) this.#print(`${name} …`);
    const timer = setInterval(() => this.#remind(), this.#isTerminal ? TICK_MS : REMIND_EVERY_MS);
    try {
      const result = await Promise.race([work(), this.#aborted]);
      const seconds = (performance.now() - since) / 1000;
      this.steps.push({ name, seconds });
      this.#clear();
      this.#print(`${name}: done in ${seconds.toFixed(1)} s`);
      return result;
    } finally {
      clearInterval(timer);
      this.#clear();
      this.#at = null;
    }
  }

  /** What follows is another part of the story. */
  chapter(title: string): void {
    this.#clear();
    process.stdout.write(`\n${title}\n`);
  }

  /** A line beside the steps. */
  say(line: string): void {
    this.#clear();
    this.#print(line);
  }

  #remind(): void {
    if (this.#at === null) return;
    const seconds = ((performance.now() - this.#at.since) / 1000).toFixed(this.#isTerminal ? 1 : 0);
    if (this.#isTerminal) {
      // A line that wraps could not be taken back.
      const line = `${this.#stamp()}${seconds} s: ${this.#at.what} …`.slice(0, process.stdout.columns - 1);
      process.stdout.write(`\r\u001b[K${line}`);
    } else this.#print(`still at it after ${seconds} s: ${this.#at.what}`);
  }

  #clear(): void {
    if (this.#isTerminal) process.stdout.write('\r\u001b[K');
  }

  #print(line: string): void {
    process.stdout.write(`${this.#stamp()}${line}\n`);
  }

  #stamp(): string {
    return `${this.seconds.toFixed(1).padStart(6)} s  `;
  }
}
