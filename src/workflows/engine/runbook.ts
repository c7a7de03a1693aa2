/**
 * The engine that every procedure runs on: named steps, one after the other. A failed step does not end the runbook:
 * it is `stuck`, keeps all it has, and waits for `retry`, `skip` or `abort`. An abort, and a cancellation of the
 * workflow, undo what was done, newest first.
 */

import { allHandlersFinished, CancellationScope, condition, ContinueAsNew } from '@temporalio/workflow';
import type { Approvals, Decision, RunbookResult } from '../../fleet/runbook.js';
import { failureOf, type Ending } from './ending.js';
import { RunbookControl } from './control.js';
import { RunbookLog, type Subject } from './log.js';
import { RunbookSteps } from './steps.js';
import { undoAll } from './undo.js';

export interface Step<T> {
  /** Unique in the runbook. */
  readonly name: string;
  /** One sentence. */
  readonly does: string;
  /**
   * Looks before it acts: it may run again at any time. Activities may run in parallel inside. `approval`: the one that it
   * was given, to be passed on to runbooks that it starts; null where it asks for none.
   */
  readonly run: (approval: Decision | null) => Promise<T>;
  /**
   * Registered before `run`, so it may find nothing to undo: it looks before it acts. `always`: also when a more
   * urgent runbook took the database (give back permits, shut gates); else that is left to the new owner.
   */
  readonly undo?: { readonly does: string; readonly run: () => Promise<void>; readonly always?: true };
  /** Waits for `approve`, unless the approvals given beforehand name this step. */
  readonly approval?: { readonly danger: string };
  /** Absent: it cannot be skipped. */
  readonly skip?: { readonly means: string; readonly value: T };
  /** Nothing is changed yet: a refusal (a failure that is not retryable) fails the runbook at once. */
  readonly preflight?: true;
  /**
   * A point of no return: others may rely on what was done so far, and an abort keeps it (but for `always`). It holds
   * from the step's begin when it has no `undo`, from its end when it has one.
   */
  readonly settles?: true;
}

export interface Runbook {
  /** @throws only to end the runbook: let it pass */
  step<T>(step: Step<T>): Promise<T>;
  /** Announces the steps to come, in place of those announced before. */
  outline(steps: readonly { readonly name: string; readonly does: string }[]): void;
  /** Keeps a sentence: which way was chosen and why, what was measured. */
  note(sentence: string): void;
  /** How things are just now: takes the place of what was said before. */
  present(sentences: readonly string[]): void;
  /** What it is about, and approvals given beforehand: known once the request was checked. */
  subject(
    subject: Subject & {
      readonly approved?: Approvals;
    },
  ): void;
  /** Runs before every later step; a failure of type `OwnershipLost` ends the runbook as preempted. */
  guard(check: () => Promise<void>): void;
}

/**
 * Runs a procedure as a runbook.
 * @throws CancelledFailure after a cancellation; else ApplicationFailure, not retryable, of type `RunbookAborted`,
 * `RunbookPreempted`, `RunbookFailed`, or an `ErrorKind` for a refusal. Its details hold the `RunbookState`.
 */
export async function runRunbook<T>(
  { title }: { readonly title: string },
  body: (runbook: Runbook) => Promise<T>,
): Promise<RunbookResult<T>> {
  const scope = new CancellationScope();
  const log = new RunbookLog(title);
  const control = new RunbookControl(log, (decision) => {
    steps.end({ how: 'aborted', decision });
    scope.cancel();
  });
  const steps = new RunbookSteps(log, control, scope);
  control.listen();

  const end = await runBody(scope, steps, () => body(runbookFor(log, steps)));
  if (end.how !== 'well')
    return CancellationScope.nonCancellable(() => undoAndFail(end, steps, log, control));
  log.forgetPending();
  await close(log);
  return { result: end.value, runbook: log.snapshot() };
}

function runbookFor(log: RunbookLog, steps: RunbookSteps): Runbook {
  return {
    step: (step) => steps.step(step),
    outline: (names) => {
      log.outline(names);
    },
    note: (sentence) => {
      log.note(sentence);
    },
    present: (sentences) => {
      log.present(sentences);
    },
    subject: ({ approved, ...subject }) => {
      log.subject(subject);
      if (approved !== undefined) steps.approve(approved);
    },
    guard: (check) => {
      steps.guard(check);
    },
  };
}

async function runBody<T>(
  scope: CancellationScope,
  steps: RunbookSteps,
  body: () => Promise<T>,
): Promise<Ending | { readonly how: 'well'; readonly value: T }> {
  try {
    const value = await scope.run(body);
    return steps.endedAnyway() ?? { how: 'well', value };
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    return steps.endedBy(error);
  }
}

async function undoAndFail(
  ending: Ending,
  steps: RunbookSteps,
  log: RunbookLog,
  control: RunbookControl,
): Promise<never> {
  log.become('aborting');
  await undoAll(steps.undos(), { preempted: ending.how === 'preempted' }, log, control);
  await close(log);
  throw failureOf(ending, log.snapshot());
}

async function close(log: RunbookLog): Promise<void> {
  log.become('done');
  await condition(allHandlersFinished);
}
