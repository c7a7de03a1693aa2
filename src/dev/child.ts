/** One child process of `redis-fleet dev`: its log, its pid file, and its restart when it dies, as systemd would. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { FleetError } from '../fleet/errors.js';
import { identify, isAlive, showIdentity, signalProcess } from './processIdentity.js';
import type { ProcessIdentity } from './processIdentity.js';

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 10_000;
/** Having lived so long, a process starts again with the first backoff. */
const WELL_AFTER_MS = 30_000;

export interface ChildOptions {
  /** e.g. `worker`, `agent:redis-01-a`. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  readonly pidFile: string;
  /** After SIGTERM; then it is killed. */
  readonly stopWithinMs: number;
  /** Being killed is how it usually stops: not worth a line. */
  readonly killIsUsual?: boolean;
  /** A line for the person who runs it. */
  readonly tell: (line: string) => void;
}

export class SupervisedChild {
  readonly #options: ChildOptions;
  #child: ChildProcess | null = null;
  #identity: ProcessIdentity | null = null;
  #gone: Promise<void> = Promise.resolve();
  #wanted = false;
  #backoffMs = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ChildOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** null while it is down. */
  get pid(): number | null {
    return this.#identity?.pid ?? null;
  }

  /** Changes nothing when it runs. */
  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#backoffMs = FIRST_BACKOFF_MS;
    this.#spawn();
  }

  /** The last lines of its log: why it died. */
  lastWords(): string {
    try {
      return readFileSync(this.#options.logFile, 'utf8').trimEnd().split('\n').slice(-3).join('\n');
    } catch {
      return '';
    }
  }

  /** SIGKILL, as a test of what a crash does: it is started again after the backoff. @throws NotFound */
  async kill(): Promise<number> {
    const identity = this.#running('killed');
    signalProcess(identity, 'SIGKILL');
    await this.#gone;
    return identity.pid;
  }

  /** SIGKILL, and not started again before `start()`. Held already: changes nothing. */
  async hold(): Promise<void> {
    this.#endRestarts();
    if (this.#identity !== null) signalProcess(this.#identity, 'SIGKILL');
    await this.#gone;
  }

  /** SIGSTOP: it exists, keeps its connections and does nothing. @throws NotFound */
  freeze(): void {
    signalProcess(this.#running('frozen'), 'SIGSTOP');
  }

  /** SIGCONT. @throws NotFound */
  thaw(): void {
    signalProcess(this.#running('thawed'), 'SIGCONT');
  }

  /** SIGTERM, then SIGKILL; not started again. */
  async stop(): Promise<void> {
    this.#endRestarts();
    const identity = this.#identity;
    if (identity === null) return;
    signalProcess(identity, 'SIGTERM');
    // One that is frozen hears it when it thaws.
    signalProcess(identity, 'SIGCONT');
    const timer = setTimeout(() => {
      if (this.#options.killIsUsual !== true) {
        this.#options.tell(
          `${this.name} did not end within ${this.#options.stopWithinMs / 1000} s and was killed`,
        );
      }
      signalProcess(identity, 'SIGKILL');
    }, this.#options.stopWithinMs);
    await this.#gone;
    clearTimeout(timer);
  }

  #running(done: string): ProcessIdentity {
    if (this.#identity !== null) return this.#identity;
    throw new FleetError('NotFound', `${this.name} is not running now, so it cannot be ${done}.`);
  }

  #endRestarts(): void {
    this.#wanted = false;
    if (this.#timer) clearTimeout(this.#timer);
  }

  #spawn(): void {
    const [binary, ...parameters] = this.#options.command;
    const log = openSync(this.#options.logFile, 'a');
    // Its own process group: a Ctrl-C in the terminal reaches us only, and we choose the order.
    const child = spawn(binary, parameters, {
      env: this.#options.env,
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    const startedAt = performance.now();
    this.#gone = new Promise((resolve) => {
      const ended = (why: string): void => {
        if (this.#child !== child) return;
        this.#child = null;
        this.#identity = null;
        rmSync(this.#options.pidFile, { force: true });
        if (this.#wanted) this.#restart(why, performance.now() - startedAt);
        resolve();
      };
      child.once('error', (error) => ended(error.message));
      child.once('exit', (code, signal) => ended(signal ?? `exit code ${code ?? 0}`));
    });
    if (child.pid === undefined) return;
    this.#identity = identify(child.pid);
    if (this.#identity) writeFileSync(this.#options.pidFile, showIdentity(this.#identity));
  }

  #restart(why: string, livedMs: number): void {
    if (livedMs > WELL_AFTER_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    const delay = this.#backoffMs;
    this.#backoffMs = Math.min(this.#backoffMs * 2, LONGEST_BACKOFF_MS);
    this.#options.tell(
      `${this.name} ended (${why}); it is started again in ${delay / 1000} s, as systemd would ` +
        `(log: ${this.#options.logFile})`,
    );
    this.#timer = setTimeout(() => this.#spawn(), delay);
  }
}

/** Waits for the end of a process that is not our child. True when it ended in time. */
export async function awaitEnd(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (isAlive(identity)) {
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
