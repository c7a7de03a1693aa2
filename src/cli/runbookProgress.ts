/** What changed in a runbook since it was last looked at, as lines for a person who waits. Pure. */

import type { RunbookState, StepRecord } from '../fleet/runbook.js';
import { showDuration } from '../fleet/quantities.js';

/** One line a step that changed; nothing where nothing did. */
export function progressLines(before: RunbookState | null, after: RunbookState): string[] {
  const width = String(after.steps.length).length;
  return after.steps.flatMap((step, index) => {
    const known = before?.steps.find(({ name }) => name === step.name);
    if (known !== undefined && sameProgress(known, step)) return [];
    const text = stepText(step);
    if (text === null) return [];
    return [`[${String(index + 1).padStart(width)}/${String(after.steps.length)}] ${step.name}: ${text}`];
  });
}

function sameProgress(a: StepRecord, b: StepRecord): boolean {
  return JSON.stringify(a.progress) === JSON.stringify(b.progress);
}

/** null: not worth a line. */
function stepText({ progress, seconds }: StepRecord): string | null {
  switch (progress.state) {
    case 'pending':
      return null;
    case 'running':
      return progress.attempt > 1 ? `running, attempt ${String(progress.attempt)}` : 'running';
    case 'done':
      return seconds === null ? 'done' : `done in ${showDuration(seconds * 1_000)}`;
    case 'waiting for approval':
      return `waits for approval. ${progress.danger}`;
    case 'stuck':
      return `stuck. ${progress.problem}`;
    case 'undo stuck':
      return `its undo is stuck. ${progress.problem}`;
    case 'skipped':
      return `skipped by ${progress.by}: ${progress.reason}`;
    case 'stopped':
    case 'not undone':
      return `${progress.state}: ${progress.why}`;
    case 'undoing':
    case 'undone':
      return progress.state;
  }
}
