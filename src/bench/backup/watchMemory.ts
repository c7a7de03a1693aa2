/** What a sweep takes beyond the data while it runs, by what the kernel says. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { residentMemory } from '../../host/procfs.js';

export interface MemoryWatch {
  /** Bytes of the agent beyond what it had before. */
  readonly agent: number;
  /** Bytes that the forked children had for themselves, at their largest. */
  readonly fork: number;
  /** How many forked children there were at once. */
  readonly forksAtOnce: number;
}

const EVERY_MS = 50;

/** @param agent its pid. Call the result to end it. */
export function watchMemory(agent: number, directory: string): () => MemoryWatch {
  const before = residentMemory(agent) ?? 0;
  const peak = { agent: 0, fork: 0, forksAtOnce: 0 };
  const look = (): void => {
    peak.agent = Math.max(peak.agent, (residentMemory(agent) ?? 0) - before);
    const children = forkedChildren(directory);
    peak.forksAtOnce = Math.max(peak.forksAtOnce, children.length);
    const own = children.reduce((sum, pid) => sum + privateBytes(pid), 0);
    peak.fork = Math.max(peak.fork, own);
  };
  const timer = setInterval(look, EVERY_MS);
  return () => {
    clearInterval(timer);
    look();
    return { ...peak };
  };
}

/** Of the processes that live in `directory`. */
function forkedChildren(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => read(`/proc/${pid}/cmdline`).startsWith('redis-rdb-bgsave'))
    .filter((pid) => cwdOf(pid).startsWith(directory))
    .map(Number);
}

function cwdOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

/** Anonymous pages that it shares with nobody: what copy-on-write cost. */
function privateBytes(pid: number): number {
  const kib = /^Private_Dirty:\s+(\d+) kB/m.exec(read(`/proc/${String(pid)}/smaps_rollup`))?.[1];
  return Number(kib ?? 0) * 1024;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
