/** The control messages of a runbook: the same four on every one, each as an update and as a signal. */

import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
} from '@temporalio/workflow';
import {
  CONTROL_MESSAGES,
  type ControlMessage,
  type Decision,
  type RunbookState,
} from '../../fleet/runbook.js';
import { progressAfter, readControlArgument, refusal, waitingStep } from '../../fleet/runbookMoves.js';
import { now, type RunbookLog } from './log.js';

const ARGUMENT = 'Argument: {"by":"you","reason":"why"}.';
const DESCRIPTIONS: Record<ControlMessage, string> = {
  approve: `Lets the dangerous step run that waits for approval. ${ARGUMENT}`,
  retry: `Runs the stuck step, or the stuck undo, again. ${ARGUMENT}`,
  skip: `Goes on without the step that is stuck or waits, where that is possible; leaves a stuck undo as it is. ${ARGUMENT}`,
  abort: `Stops the runbook, undoes what was done, newest first, and ends it as failed. ${ARGUMENT}`,
};

export const runbookQuery = defineQuery<RunbookState>('runbook');

export class RunbookControl {
  private decided: Decision | null = null;

  /** @param onAbort called once; it has to make the step that runs, or waits, end */
  constructor(
    private readonly log: RunbookLog,
    private readonly onAbort: (decision: Decision) => void,
  ) {}

  listen(): void {
    setHandler(runbookQuery, () => this.log.snapshot(), {
      description: 'The whole state as JSON: steps, notes, decisions, and what would move it on.',
    });
    for (const message of CONTROL_MESSAGES) {
      const description = DESCRIPTIONS[message];
      setHandler(defineUpdate<string, [unknown]>(message), (argument) => this.update(message, argument), {
        description,
        validator: (argument) => {
          this.validate(message, argument);
        },
      });
      setHandler(
        defineSignal<[unknown]>(message),
        (argument) => {
          this.signal(message, argument);
        },
        { description },
      );
    }
  }

  /** Forgets earlier decisions, so that `decision` waits for a new one. Call it before the wait becomes visible. */
  expect(): void {
    this.decided = null;
  }

  /** The decision about the step that waits now. Rejects when its scope is cancelled. */
  async decision(): Promise<Decision> {
    await condition(() => this.decided !== null);
    if (this.decided === null) throw ApplicationFailure.nonRetryable('A decision was lost.', 'RunbookFailed');
    return this.decided;
  }

  /** Synchronous on purpose: an asynchronous validator that rejects wedges a workflow. */
  private validate(message: ControlMessage, argument: unknown): void {
    const read = readControlArgument(argument);
    const why = typeof read === 'string' ? read : refusal(this.log.snapshot(), message);
    if (why !== null) throw ApplicationFailure.nonRetryable(why, 'ControlRefused');
  }

  private update(message: ControlMessage, argument: unknown): string {
    // Another message may have been accepted since the validator looked.
    this.validate(message, argument);
    return this.hear(message, argument);
  }

  private signal(message: ControlMessage, argument: unknown): void {
    this.hear(message, argument);
  }

  private hear(message: ControlMessage, argument: unknown): string {
    const state = this.log.snapshot();
    const read = readControlArgument(argument);
    const said = typeof read === 'string' ? { by: 'unknown', reason: '' } : read;
    const refused = typeof read === 'string' ? read : refusal(state, message);
    const step = waitingStep(state);
    const decision: Decision = { message, ...said, step: step?.name ?? null, at: now() };
    this.log.record(refused === null ? decision : { ...decision, refused });
    if (refused !== null) return refused;
    if (message === 'abort') {
      this.log.become('aborting');
      this.onAbort(decision);
      return 'It stops, and undoes what was done, newest first.';
    }
    if (step === null) return 'Nothing waits.';
    // At once, so that a second message in the same moment is judged by the new state.
    const progress = progressAfter(step.progress, decision);
    this.decided = decision;
    this.log.progress(step.name, progress);
    this.log.become(step.progress.state === 'undo stuck' ? 'aborting' : 'running');
    return `Step "${step.name}": ${progress.state}.`;
  }
}
