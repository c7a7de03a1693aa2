/** How a runbook ends that does not end well. */

import { ApplicationFailure, CancelledFailure } from '@temporalio/workflow';
import type { Decision, RunbookState } from '../../fleet/runbook.js';
import { cut, LONGEST_PROBLEM } from '../../fleet/runbookText.js';
import { problemOf } from './failures.js';

export type Ending =
  | { readonly how: 'aborted'; readonly decision: Decision }
  | { readonly how: 'cancelled' }
  /** A more urgent runbook took the database. */
  | { readonly how: 'preempted'; readonly error: unknown }
  /** A step refused before anything was changed. */
  | { readonly how: 'refused'; readonly step: string; readonly error: unknown }
  /** Something failed outside the steps. */
  | { readonly how: 'failed'; readonly error: unknown };

/** Thrown by a step to end the procedure's code; nobody outside the engine sees it. */
export class RunbookEnds extends Error {
  override readonly name = 'RunbookEnds';

  constructor(readonly ending: Ending) {
    super(`The runbook ends: ${ending.how}.`);
  }
}

export function failureOf(ending: Ending, state: RunbookState): ApplicationFailure | CancelledFailure {
  const rest = whatWasUndone(state);
  switch (ending.how) {
    case 'cancelled':
      return new CancelledFailure(`"${state.title}" was cancelled. ${rest}`);
    case 'aborted': {
      const { by, reason } = ending.decision;
      return failure('RunbookAborted', `"${state.title}" was aborted by ${by}: ${reason}. ${rest}`, state);
    }
    case 'preempted': {
      const why = problemOf(ending.error).text;
      return failure(
        'RunbookPreempted',
        `"${state.title}" gave way to a more urgent runbook: ${why} ${rest}`,
        state,
      );
    }
    case 'refused': {
      const { text, kind } = problemOf(ending.error);
      return failure(kind ?? 'RunbookFailed', text, state, ending.error);
    }
    case 'failed': {
      const { text, kind } = problemOf(ending.error);
      const type = ending.error instanceof ApplicationFailure && kind !== null ? kind : 'RunbookFailed';
      return failure(type, `"${state.title}" failed: ${text} ${rest}`, state, ending.error);
    }
  }
}

function failure(type: string, message: string, state: RunbookState, cause?: unknown): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message: cut(message, LONGEST_PROBLEM),
    nonRetryable: true,
    details: [state],
    ...(cause instanceof Error ? { cause } : {}),
  });
}

function whatWasUndone({ steps }: RunbookState): string {
  const named = (wanted: 'undone' | 'not undone'): string =>
    steps
      .filter(({ progress }) => progress.state === wanted)
      .map(({ name }) => `"${name}"`)
      .reverse()
      .join(', ');
  const undone = named('undone');
  const left = named('not undone');
  return `${undone === '' ? 'Nothing had to be undone' : `Undone: ${undone}`}.${left === '' ? '' : ` Not undone: ${left}.`}`;
}
