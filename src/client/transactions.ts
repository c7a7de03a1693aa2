/**
 * MULTI … EXEC as it was issued. Nothing of it is executed before EXEC, so one that a connection did not finish is
 * begun again on the next, as a whole; unless it hangs on a WATCH, which only the old connection knew.
 */

import type { Command } from 'ioredis';

export class Transaction {
  readonly commands: Command[] = [];
  /** Some command was refused when it was queued; then EXEC executes nothing. */
  refused = false;
  /** It came to nothing: what is still to come of it fails, too. */
  over = false;
  /** The connection that it was begun on; null: it has to be begun (again). */
  #connection: number | null = null;
  #next = 0;

  /** @param watches the connection that each WATCH of it was sent on last */
  constructor(readonly watches: ReadonlyMap<Command, number | null>) {}

  /**
   * Those of its commands that have to be sent again before `command` is sent on `connection`: they were answered on
   * an earlier one. null: it cannot go on there, because the keys are not watched there.
   */
  before(command: Command, connection: number): readonly Command[] | null {
    if (this.#connection !== connection) {
      if ([...this.watches.values()].some((at) => at !== connection)) return null;
      this.#connection = connection;
      this.#next = 0;
    }
    const again: Command[] = [];
    const index = this.commands[this.#next] === command ? this.#next : this.commands.indexOf(command);
    for (; this.#next < index; this.#next++) {
      const earlier = this.commands[this.#next];
      if (earlier?.isSettled) again.push(earlier);
    }
    this.#next = Math.max(this.#next, index + 1);
    return again;
  }

  /** Was `command` sent on the connection that it stands on? */
  reached(command: Command): boolean {
    return this.#connection !== null && this.commands.indexOf(command) < this.#next;
  }

  /** Redis has forgotten it: the next of its commands begins it again, on whatever connection. */
  restart(): void {
    this.#connection = null;
    this.refused = false;
  }

  fail(problem: (command: Command) => Error): void {
    this.over = true;
    for (const command of this.commands) if (!command.isSettled) command.reject(problem(command));
  }
}

export class Transactions {
  readonly #of = new WeakMap<Command, Transaction>();
  #open: Transaction | null = null;
  #watches = new Map<Command, number | null>();

  /** Of every command that the application issues, in that order. */
  issued(command: Command): void {
    const name = command.name.toLowerCase();
    if (name === 'multi') this.#open = new Transaction(this.#watches);
    if (name === 'watch' && this.#open === null) this.#watches.set(command, null);
    if (this.#open) {
      this.#of.set(command, this.#open);
      this.#open.commands.push(command);
    }
    if (['exec', 'discard', 'reset', 'unwatch'].includes(name)) this.#watches = new Map();
    if (['exec', 'discard', 'reset'].includes(name)) this.#open = null;
  }

  /** Tells where a WATCH holds. */
  sent(command: Command, connection: number): void {
    if (this.#watches.has(command)) this.#watches.set(command, connection);
  }

  of(command: Command): Transaction | undefined {
    return this.#of.get(command);
  }

  /** `copy` is sent in the place of one of its commands that was answered already. */
  standsIn(copy: Command, transaction: Transaction): void {
    this.#of.set(copy, transaction);
  }
}
