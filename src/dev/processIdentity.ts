/** A process that we started, told from a later one with the same pid by when it started. Linux only. */

import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since the machine's boot: field 22 of /proc/<pid>/stat. */
  readonly started: string;
}

/** null: there is no such process now, or it is dead and only not yet collected. */
export function identify(pid: number): ProcessIdentity | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold blanks and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const started = fields[19];
    if (started === undefined || state === 'Z' || state === 'X') return null;
    return { pid, started };
  } catch {
    return null;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.started === identity.started;
}

/** Sends nothing to a process that only has the same pid. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch {
    // It ended in between.
  }
}

export function showIdentity(identity: ProcessIdentity): string {
  return `${identity.pid} ${identity.started}\n`;
}

/** null: not what `showIdentity` wrote. */
export function parseIdentity(text: string): ProcessIdentity | null {
  const match = /^(\d+) (\d+)\n?$/.exec(text);
  const [, pid, started] = match ?? [];
  return pid === undefined || started === undefined ? null : { pid: Number(pid), started };
}
