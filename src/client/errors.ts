/** What a command that did not succeed became. Errors that Redis itself answers stay what they are in ioredis. */

/** `unknown`: it may have been executed, or not. `not executed`: it was not, and sending it again is safe. */
export type Outcome = 'unknown' | 'not executed';

export interface FailedCommand {
  readonly database: string;
  /** In Redis's words, lower case: `set`, `exec`. */
  readonly command: string;
}

export abstract class ClientError extends Error implements FailedCommand {
  abstract readonly outcome: Outcome;
  readonly database: string;
  readonly command: string;

  constructor({ database, command }: FailedCommand, message: string, options?: ErrorOptions) {
    super(message, options);
    this.database = database;
    this.command = command;
  }
}

/** It was sent, and the connection was lost or given up before the answer came. */
export class OutcomeUnknown extends ClientError {
  override readonly name = 'OutcomeUnknown';
  readonly outcome = 'unknown';

  constructor(failed: FailedCommand, why: string) {
    super(
      failed,
      `${failed.command.toUpperCase()} was sent to the leader of ${failed.database}, and ${why} before it answered: it may ` +
        'have been executed or not. Read the key before you send it again, unless sending it twice does no harm.',
    );
  }
}

/** No leader took it within the time that it may wait. */
export class NoLeader extends ClientError {
  override readonly name = 'NoLeader';
  readonly outcome = 'not executed';
  readonly waitedMs: number;

  constructor(failed: FailedCommand, waitedMs: number, why: string, options?: ErrorOptions) {
    super(
      failed,
      `${failed.database} had no leader that takes ${failed.command.toUpperCase()} for ${(waitedMs / 1000).toFixed(1)} s: ${why}. ` +
        `It was not executed, and may be sent again. See \`redis-fleet why ${failed.database}\`.`,
      options,
    );
    this.waitedMs = waitedMs;
  }
}

/** The leader changed between WATCH and EXEC. As after an EXEC that answers null: begin again at WATCH. */
export class TransactionLost extends ClientError {
  override readonly name = 'TransactionLost';
  readonly outcome = 'not executed';

  constructor(failed: FailedCommand) {
    super(
      failed,
      `The leader of ${failed.database} changed between WATCH and EXEC, and the new one watches nothing: nothing of the ` +
        'transaction was executed. Begin it again at WATCH.',
    );
  }
}
