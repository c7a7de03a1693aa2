/** What the Temporal UI shows as a runbook's current details: short Markdown with the exact next commands. Pure. */

import type { ControlMessage, RunbookState, StepRecord } from './runbook.js';
import { effect, nextMove, waitingStep } from './runbookMoves.js';
import { clock, cut, decisionText, reasonOf, shellWord, tableCell } from './runbookText.js';

const LONGEST_CELL = 300;
const IN_THIS_UI =
  'here: More Actions, Send an Update (or a Signal), with one of these names and the input `{"by":"you","reason":"why"}`';

export function runbookDetails(state: RunbookState, namespace = 'default'): string {
  const lines = [`### ${state.title}`, '', `**${headline(state)}** (started ${clock(state.startedAt)} UTC)`];
  const next = nextMove(state);
  const step = waitingStep(state);
  // What a person has to do stands above everything else.
  if (next !== null && step !== null) {
    lines.push('', next.waitsFor.replaceAll(/\s+/g, ' '), '', `To move it on, ${IN_THIS_UI}, or:`);
    for (const message of next.messages) {
      lines.push('', `**${message}** ${effect(message, step)}:`, ...commands(state, message, namespace));
    }
  }
  if (state.steps.length > 0) lines.push('', ...table(state));
  if (next === null && state.status === 'running') {
    lines.push('', 'To stop it and undo what was done:', ...commands(state, 'abort', namespace));
  }
  const { present = [] } = state;
  if (present.length > 0) lines.push('', 'Now:', '', ...present.map((line) => `- ${tableCell(line)}`));
  if (state.notes.length > 0)
    lines.push('', 'Notes:', '', ...state.notes.map((note) => `- ${tableCell(note)}`));
  if (state.decisions.length > 0)
    lines.push(
      '',
      'Decisions:',
      '',
      ...state.decisions.map((decision) => `- ${tableCell(decisionText(decision))}`),
    );
  return `${lines.join('\n')}\n`;
}

/** The same control message by Temporal's own tool. */
export function temporalCommand(workflowId: string, message: ControlMessage, namespace = 'default'): string {
  const where = namespace === 'default' ? '' : ` --namespace ${shellWord(namespace)}`;
  const input = shellWord(JSON.stringify({ by: 'you', reason: 'why' }));
  return `temporal workflow update execute${where} --workflow-id ${shellWord(workflowId)} --name ${message} --input ${input}`;
}

/** The same control message by ours. */
export function fleetCommand(workflowId: string, message: ControlMessage): string {
  return `redis-fleet runbook ${message} ${shellWord(workflowId)} --reason 'why'`;
}

function commands(state: RunbookState, message: ControlMessage, namespace: string): string[] {
  const { workflowId } = state;
  // In lines that a page shows whole, and a shell takes as one.
  const byTemporal = temporalCommand(workflowId, message, namespace)
    .replace(' --workflow-id', ' \\\n  --workflow-id')
    .replace(' --input', ' \\\n  --input');
  return ['```sh', byTemporal, fleetCommand(workflowId, message), '```'];
}

function headline(state: RunbookState): string {
  switch (state.status) {
    case 'running':
      return 'Running';
    case 'waiting':
      return 'Waiting for approval';
    case 'stuck':
      return 'Stuck: it keeps all it has, and waits for a person';
    case 'aborting':
      return 'Undoing what was done, newest first';
    case 'done':
      return 'Ended';
  }
}

function table({ steps, startedAt }: RunbookState): string[] {
  return [
    '| step | state | since (UTC) | what it does, or waits for |',
    '|---|---|---|---|',
    ...steps.map((step) => {
      const cells = [
        step.name,
        stateOf(step),
        step.since === null ? '' : sinceOf(step.since, startedAt),
        remark(step),
      ];
      return `| ${cells.map((cell) => tableCell(cut(cell, LONGEST_CELL))).join(' | ')} |`;
    }),
  ];
}

function stateOf({ progress, seconds }: StepRecord): string {
  if (progress.state === 'running' && progress.attempt > 1) return `running, attempt ${progress.attempt}`;
  if (progress.state === 'done' && seconds !== null) return `done, ${seconds.toFixed(1)}s`;
  return progress.state;
}

function remark({ does, progress }: StepRecord): string {
  if (progress.state === 'skipped') return `${does} Skipped by ${progress.by}: ${progress.reason}`;
  return reasonOf(progress) ?? does;
}

/** The time of day; with the date where that is another than the start's. */
function sinceOf(iso: string, startedAt: string): string {
  const shown = clock(iso);
  return shown.slice(0, 10) === startedAt.slice(0, 10) ? shown.slice(11) : shown;
}
