/** From whatever was thrown to a sentence and an exit code. No stack traces, unless REDIS_FLEET_DEBUG is 1. */

import { FleetError, messageOf } from '../fleet/errors.js';
import type { ErrorKind } from '../fleet/errors.js';
import { withoutSecrets } from '../connections/redaction.js';
import { CALLED_WRONGLY, NOT_WELL } from './context.js';
import type { CliContext, ExitCode } from './context.js';

/** The call itself was wrong: nothing was looked at, and nothing changed. */
const WRONG_CALLS: ReadonlySet<ErrorKind> = new Set(['InvalidRequest', 'InvalidFleetFile']);

/** An option that commander cannot judge. */
export class UsageError extends FleetError {
  constructor(message: string) {
    super('InvalidRequest', message);
  }
}

export function reportFailure(error: unknown, context: CliContext, asJson: boolean): ExitCode {
  const kind = error instanceof FleetError ? error.kind : 'Failed';
  const message = withoutSecrets(sentence(error));
  context.err(asJson ? `${JSON.stringify({ error: { kind, message } })}\n` : `${message}\n`);
  if (context.env['REDIS_FLEET_DEBUG'] === '1' && error instanceof Error) {
    context.err(`${withoutSecrets(stacks(error))}\n`);
  } else if (!(error instanceof FleetError) && !asJson) {
    context.err('That was not expected. REDIS_FLEET_DEBUG=1 shows where it comes from.\n');
  }
  return error instanceof FleetError && WRONG_CALLS.has(error.kind) ? CALLED_WRONGLY : NOT_WELL;
}

function sentence(error: unknown): string {
  const message = messageOf(error).trim();
  return message === '' ? 'It failed without a word.' : message;
}

function stacks(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\nbecause of ${stacks(error.cause)}` : own;
}
