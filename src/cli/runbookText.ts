/** A runbook as people read it on a terminal. Pure. */

import type { RunbookState, StepRecord } from '../fleet/runbook.js';
import { fleetCommand } from '../fleet/runbookDetails.js';
import { acceptedMessages, effect, nextMove, waitingStep } from '../fleet/runbookMoves.js';
import { clock, decisionText, reasonOf } from '../fleet/runbookText.js';
import { showDuration } from '../fleet/quantities.js';
import { table } from './table.js';

const LONGEST_CELL = 90;

export function runbookText(state: RunbookState, options: { readonly lines: boolean }): string {
  const blocks = [
    `${state.title}: ${state.workflowId} (${state.status}, since ${clock(state.startedAt)} UTC)`,
    table(['step', 'state', 'since', 'what it does, or waits for'], state.steps.map(stepRow), options),
  ];
  if (state.notes.length > 0) blocks.push(['Notes:', ...state.notes.map((note) => `  ${note}`)].join('\n'));
  if (state.decisions.length > 0) {
    blocks.push(
      ['Decisions:', ...state.decisions.map((decision) => `  ${decisionText(decision)}`)].join('\n'),
    );
  }
  const moves = nextCommands(state);
  if (moves.length > 0) blocks.push(moves.join('\n'));
  return blocks.join('\n\n');
}

/** What moves a waiting runbook on, one command a line; what would stop a running one; nothing for an ended one. */
export function nextCommands(state: RunbookState): string[] {
  const next = nextMove(state);
  const step = waitingStep(state);
  if (next !== null && step !== null) {
    const moves = next.messages.map(
      (message) => `  ${fleetCommand(state.workflowId, message)}   # ${effect(message, step)}`,
    );
    return [next.waitsFor, ...moves];
  }
  if (!acceptedMessages(state).includes('abort')) return [];
  return ['To stop it and undo what was done:', `  ${fleetCommand(state.workflowId, 'abort')}`];
}

function stepRow(step: StepRecord): string[] {
  const { name, since } = step;
  return [name, stateText(step), since === null ? '' : clock(since).slice(11), cell(remark(step))];
}

function stateText({ progress, seconds }: StepRecord): string {
  if (progress.state === 'running' && progress.attempt > 1) return `running (${String(progress.attempt)})`;
  return progress.state === 'done' && seconds !== null
    ? `done ${showDuration(seconds * 1_000)}`
    : progress.state;
}

function remark({ does, progress }: StepRecord): string {
  if (progress.state === 'skipped') return `by ${progress.by}: ${progress.reason}`;
  return reasonOf(progress) ?? does;
}

function cell(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= LONGEST_CELL ? line : `${line.slice(0, LONGEST_CELL - 1)}…`;
}
