/** What becomes of commands whose answer never came, or that nobody took. */

import { Command } from 'ioredis';
import { NoLeader, OutcomeUnknown, type FailedCommand } from './errors.js';
import type { RecordWatch } from './recordWatch.js';
import type { Transaction, Transactions } from './transactions.js';
import type { Waiting, WaitingRoom } from './waitingRoom.js';

export interface FatesOptions {
  readonly database: string;
  readonly onInterrupted: 'fail' | 'retry';
  readonly maxWaitMs: number;
  readonly watch: RecordWatch;
  readonly transactions: Transactions;
}

export const SUBSCRIPTIONS: ReadonlySet<string> = new Set([
  'subscribe',
  'psubscribe',
  'ssubscribe',
  'unsubscribe',
  'punsubscribe',
  'sunsubscribe',
]);
/** Twice is as good as once. */
const HARMLESS: ReadonlySet<string> = new Set(['select', 'ping', 'echo', 'watch', 'unwatch']);

export class Fates {
  readonly #options: FatesOptions;

  constructor(options: FatesOptions) {
    this.#options = options;
  }

  named(command: Command): FailedCommand {
    return { database: this.#options.database, command: command.name.toLowerCase() };
  }

  /** It was sent, and its answer will never come: it goes back into the room, or fails. */
  interrupted(command: Command, why: string, room: WaitingRoom): void {
    const { onInterrupted, transactions } = this.#options;
    const name = command.name.toLowerCase();
    const transaction = transactions.of(command);
    if (transaction) this.#transactionInterrupted(transaction, command, why, room);
    else if (SUBSCRIPTIONS.has(name)) room.putBack(subscribedAgain(command), {});
    else if (HARMLESS.has(name)) room.putBack(command, {});
    else if (onInterrupted === 'retry') room.putBack(command, { maybeExecuted: true });
    else command.reject(new OutcomeUnknown(this.named(command), why));
  }

  /** It waited for too long. */
  expired({ command, maybeExecuted, refusal }: Waiting): void {
    const { maxWaitMs, watch, transactions } = this.#options;
    const why = refusal ? `${watch.state}, and it answers "${refusal.message}"` : watch.state;
    const problem = (one: Command): Error =>
      maybeExecuted
        ? new OutcomeUnknown(this.named(one), `no leader took it again within ${maxWaitMs} ms`)
        : new NoLeader(this.named(one), maxWaitMs, why, refusal ? { cause: refusal } : {});
    const transaction = transactions.of(command);
    if (transaction) transaction.fail(problem);
    else command.reject(problem(command));
  }

  /** Before EXEC nothing of it is executed. */
  #transactionInterrupted(transaction: Transaction, command: Command, why: string, room: WaitingRoom): void {
    const { commands, watches } = transaction;
    const last = commands.at(-1);
    const execSent = last?.name.toLowerCase() === 'exec' && transaction.reached(last);
    const again = !execSent || (this.#options.onInterrupted === 'retry' && watches.size === 0);
    if (again) room.putBack(command, { maybeExecuted: execSent });
    else transaction.fail((one) => new OutcomeUnknown(this.named(one), why));
  }
}

/** A new one in its place: how many of its channels were answered is known to ioredis alone. */
function subscribedAgain(command: Command): Command {
  const again = new Command(command.name, command.args);
  again.promise.then(
    (count: unknown) => command.resolve(count),
    (error: unknown) => command.reject(error instanceof Error ? error : new Error(String(error))),
  );
  return again;
}
