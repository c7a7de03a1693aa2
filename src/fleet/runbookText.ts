/** Small forms of text that what a runbook says of itself is made of. Pure. */

import type { Decision, StepProgress } from './runbook.js';

/** Temporal cuts failures at 4 KB, so a long message would take the failure's details with it. */
export const LONGEST_PROBLEM = 1200;
export const LONGEST_REASON = 400;

export function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}

/** One word for a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** One cell of a Markdown table. */
export function tableCell(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll(/\s+/g, ' ').trim();
}

/** Milliseconds in words: `30 s`, `10 min`, `1.5 h`. */
export function inWords(ms: number): string {
  const round = (value: number): string => String(Math.round(value * 10) / 10);
  if (ms < 1000) return `${round(ms)} ms`;
  if (ms < 120_000) return `${round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${round(ms / 60_000)} min`;
  return `${round(ms / 3_600_000)} h`;
}

/** `2025-01-31T12:00:00.000Z` → `2025-01-31 12:00:00` */
export function clock(iso: string): string {
  return iso.slice(0, 19).replace('T', ' ');
}

/** Why a step does not go on, or went no further; null where what it does says enough, and for a skipped one. */
export function reasonOf(progress: StepProgress): string | null {
  switch (progress.state) {
    case 'waiting for approval':
      return progress.danger;
    case 'stuck':
    case 'undo stuck':
      return progress.problem;
    case 'stopped':
    case 'not undone':
      return progress.why;
    case 'skipped':
    case 'pending':
    case 'running':
    case 'done':
    case 'undoing':
    case 'undone':
      return null;
  }
}

/** Who said what, when and why. */
export function decisionText({ at, message, step, by, reason, refused }: Decision): string {
  const about = step === null ? '' : ` of "${step}"`;
  return `${clock(at)} ${message}${about} by ${by}: ${reason}${refused === undefined ? '' : ` (refused: ${refused})`}`;
}
