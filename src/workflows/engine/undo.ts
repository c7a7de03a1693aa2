/** Undoing what a runbook did: newest first, and not stopped by anything but a person. */

import type { Decision } from '../../fleet/runbook.js';
import { attempt } from './attempt.js';
import { isOwnershipLost, problemOf } from './failures.js';
import type { RunbookControl } from './control.js';
import type { RunbookLog } from './log.js';

export interface Undo {
  readonly step: string;
  readonly does: string;
  readonly run: () => Promise<void>;
  /** Also when a more urgent runbook took the database: it concerns nothing that the new owner has. */
  readonly always: boolean;
}

const LEFT_TO_NEW_OWNER = 'Left to the runbook that took the database.';

/** Call it in a scope that cannot be cancelled. */
export async function undoAll(
  undos: readonly Undo[],
  options: { readonly preempted: boolean },
  log: RunbookLog,
  control: RunbookControl,
): Promise<void> {
  let { preempted } = options;
  for (const undo of [...undos].reverse()) {
    if (preempted && !undo.always) {
      log.progress(undo.step, { state: 'not undone', why: LEFT_TO_NEW_OWNER });
    } else {
      preempted = (await undoOne(undo, preempted, log, control)) || preempted;
    }
  }
}

/** @returns whether it turned out that a more urgent runbook took the database */
async function undoOne(
  undo: Undo,
  preempted: boolean,
  log: RunbookLog,
  control: RunbookControl,
): Promise<boolean> {
  log.progress(undo.step, { state: 'undoing' });
  for (;;) {
    const outcome = await attempt(undo.run);
    if (outcome.ok) {
      log.progress(undo.step, { state: 'undone' });
      return false;
    }
    if (!preempted && isOwnershipLost(outcome.error)) {
      log.progress(undo.step, { state: 'not undone', why: LEFT_TO_NEW_OWNER });
      return true;
    }
    const decision = await askAfterFailedUndo(undo, problemOf(outcome.error).text, log, control);
    if (decision.message === 'skip') return false;
  }
}

function askAfterFailedUndo(
  undo: Undo,
  problem: string,
  log: RunbookLog,
  control: RunbookControl,
): Promise<Decision> {
  control.expect();
  log.progress(undo.step, { state: 'undo stuck', problem: `${problem} It should: ${undo.does}` });
  log.become('stuck');
  return control.decision();
}
