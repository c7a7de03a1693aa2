/** Which control message makes sense now, what it does, and why another does not. Pure. */

import type {
  ControlArgument,
  ControlMessage,
  Decision,
  NextMove,
  RunbookState,
  StepProgress,
  StepRecord,
} from './runbook.js';
import { cut, LONGEST_REASON } from './runbookText.js';

type Situation = Pick<RunbookState, 'status' | 'steps'>;

/** The step that waits for a person; a runbook's steps run one after the other, so there is one at most. */
export function waitingStep(state: Situation): StepRecord | null {
  return state.steps.find((step) => messagesFor(step.progress).length > 0) ?? null;
}

/** The step that is being run, undone or waited for. */
export function currentStep(state: Situation): StepRecord | null {
  const busy = state.steps.find(
    ({ progress }) => progress.state === 'running' || progress.state === 'undoing',
  );
  return waitingStep(state) ?? busy ?? null;
}

/** The messages that a step in this state waits for, the best first. */
export function messagesFor(progress: StepProgress): readonly ControlMessage[] {
  switch (progress.state) {
    case 'waiting for approval':
      return progress.skip === null ? ['approve', 'abort'] : ['approve', 'skip', 'abort'];
    case 'stuck':
      return progress.skip === null ? ['retry', 'abort'] : ['retry', 'skip', 'abort'];
    case 'undo stuck':
      return ['retry', 'skip'];
    case 'pending':
    case 'running':
    case 'done':
    case 'skipped':
    case 'stopped':
    case 'undoing':
    case 'undone':
    case 'not undone':
      return [];
  }
}

/** null while nobody has to do anything. */
export function nextMove(state: Situation): NextMove | null {
  if (state.status === 'done' || aborted(state)) return null;
  const step = waitingStep(state);
  if (step === null) return null;
  return { waitsFor: waitsFor(step), messages: messagesFor(step.progress) };
}

/** What is accepted now: an abort at any time but while undoing. */
export function acceptedMessages(state: Situation): readonly ControlMessage[] {
  if (state.status === 'done') return [];
  const next = nextMove(state);
  if (next !== null) return next.messages;
  return state.status === 'aborting' ? [] : ['abort'];
}

/** Why a message makes no sense now, and what would; null when it does. */
export function refusal(state: Situation, message: ControlMessage): string | null {
  if (acceptedMessages(state).includes(message)) return null;
  return `"${message}" makes no sense now: ${whyNot(state, message)} ${instead(state)}`;
}

/** What a message that makes sense does to the step that waits for it. */
export function progressAfter(progress: StepProgress, decision: Decision): StepProgress {
  const { by, reason, message } = decision;
  if (progress.state === 'undo stuck') {
    return message === 'retry' ? { state: 'undoing' } : { state: 'not undone', why: `${by}: ${reason}` };
  }
  if (message === 'skip') return { state: 'skipped', by, reason };
  return { state: 'running', attempt: progress.state === 'stuck' ? progress.attempt + 1 : 1 };
}

/** Reads the argument of a control message. @returns a sentence when it is not what it must be */
export function readControlArgument(argument: unknown): ControlArgument | string {
  const shape = 'Every control message says who and why: {"by":"you","reason":"why"}.';
  if (typeof argument !== 'object' || argument === null) return `The argument is missing. ${shape}`;
  const { by, reason } = argument as Record<string, unknown>;
  if (typeof by !== 'string' || by.trim() === '') return `"by" must be a non-empty string. ${shape}`;
  if (typeof reason !== 'string' || reason.trim() === '')
    return `"reason" must be a non-empty string. ${shape}`;
  return { by: cut(by.trim(), LONGEST_REASON), reason: cut(reason.trim(), LONGEST_REASON) };
}

/** An abort was accepted and is on its way to the step that still shows as waiting. */
function aborted(state: Situation): boolean {
  return state.status === 'aborting' && waitingStep(state)?.progress.state !== 'undo stuck';
}

function waitsFor(step: StepRecord): string {
  const { progress } = step;
  if (progress.state === 'waiting for approval')
    return `Step "${step.name}" waits for approval: ${progress.danger}`;
  if (progress.state === 'undo stuck') return `Undoing step "${step.name}" failed: ${progress.problem}`;
  return `Step "${step.name}" is stuck${progress.state === 'stuck' ? `: ${progress.problem}` : ''}`;
}

function whyNot(state: Situation, message: ControlMessage): string {
  if (state.status === 'done') return 'the runbook has ended.';
  const step = nextMove(state) === null ? null : waitingStep(state);
  switch (message) {
    case 'approve':
      return 'no step waits for approval.';
    case 'retry':
      return step?.progress.state === 'waiting for approval'
        ? `step "${step.name}" has not run yet, it waits for approval.`
        : 'no step is stuck.';
    case 'skip':
      return step === null ? 'no step waits for anything.' : `step "${step.name}" cannot be skipped.`;
    case 'abort':
      return 'the runbook is already undoing what it did.';
  }
}

function instead(state: Situation): string {
  const step = currentStep(state);
  const next = nextMove(state);
  if (state.status === 'done') return 'Start a new one if there is more to do.';
  if (next !== null && step !== null) {
    const choices = next.messages.map((choice) => `"${choice}" ${effect(choice, step)}`);
    return `${next.waitsFor.replace(/[.:]*$/, '.')} What makes sense: ${choices.join('; ')}.`;
  }
  if (state.status === 'aborting') return 'It is undoing what was done; wait for its end.';
  const running = step === null ? 'It is running' : `It is running step "${step.name}"`;
  return `${running}; what makes sense is to wait, or "abort", which stops it and undoes what was done.`;
}

/** What a message would do, as the end of a sentence. */
export function effect(message: ControlMessage, step: StepRecord): string {
  const { progress } = step;
  const undoing = progress.state === 'undo stuck';
  switch (message) {
    case 'approve':
      return 'lets the step run';
    case 'retry':
      return undoing ? 'tries the undo again' : 'runs the step again';
    case 'skip': {
      if (undoing) return 'leaves it as it is and goes on with the next undo';
      const means =
        progress.state === 'stuck' || progress.state === 'waiting for approval' ? progress.skip : null;
      return means === null ? 'goes on without it' : `goes on without it (${means.replace(/\.$/, '')})`;
    }
    case 'abort':
      return 'undoes what was done, newest first, and ends the runbook';
  }
}
