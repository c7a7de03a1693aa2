/** A limit of memory that really kills: a cgroup (version 1 or 2) of its own for all processes of one host. */

import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { FleetError, messageOf } from '../../fleet/errors.js';
import { parseCgroups, parseStat } from '../../host/memoryFiles.js';
import { pause } from '../../testbed/waiting.js';

export interface MemoryLimit {
  /** For people: which kind of limit it is. */
  readonly kind: string;
  /** Takes in a process, and with it what it starts from then on. */
  take(pid: number): void;
  /** Bytes: what is used, without file pages that would be given up. */
  used(): number;
  limitTo(bytes: number): void;
  /** How many of its processes the kernel has killed. */
  kills(): number;
  /** When its processes have ended. */
  remove(): Promise<void>;
}

const ROOT = '/sys/fs/cgroup';
const GONE_WITHIN_MS = 10_000;

interface Names {
  readonly kind: string;
  readonly limit: string;
  readonly usage: string;
  readonly inactive: string;
  readonly events: string;
}

const V1: Names = {
  kind: 'cgroup v1, memory.limit_in_bytes',
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  inactive: 'total_inactive_file',
  events: 'memory.oom_control',
};
const V2: Names = {
  kind: 'cgroup v2, memory.max',
  limit: 'memory.max',
  usage: 'memory.current',
  inactive: 'inactive_file',
  events: 'memory.events',
};

/** @throws NotFound where the machine cannot do that */
export function memoryLimit(name: string): MemoryLimit {
  const own = parseCgroups(readFileSync('/proc/self/cgroup', 'utf8'));
  const v1 = own.find(({ version }) => version === 1);
  const names = v1 === undefined ? V2 : V1;
  const parent = v1 === undefined ? ROOT : path.join(ROOT, 'memory', v1.path);
  const directory = path.join(parent, name);
  const file = (of: string): string => path.join(directory, of);
  const number = (of: string): number => Number(readFileSync(file(of), 'utf8'));
  try {
    if (v1 === undefined) writeFileSync(path.join(ROOT, 'cgroup.subtree_control'), '+memory');
    mkdirSync(directory, { recursive: true });
    number(names.usage);
  } catch (error) {
    throw new FleetError(
      'NotFound',
      `This machine limits no memory for us (${messageOf(error)}): it takes root, and the memory controller of cgroups. Nothing was started.`,
    );
  }
  return {
    kind: names.kind,
    take: (pid) => writeFileSync(file('cgroup.procs'), String(pid)),
    used() {
      const stat = parseStat(readFileSync(file('memory.stat'), 'utf8'));
      return Math.max(0, number(names.usage) - (stat.get(names.inactive) ?? 0));
    },
    limitTo: (bytes) => writeFileSync(file(names.limit), String(Math.round(bytes))),
    kills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(file(names.events), 'utf8'))?.[1] ?? 0),
    async remove() {
      const end = performance.now() + GONE_WITHIN_MS;
      for (;;) {
        try {
          rmdirSync(directory);
          return;
        } catch (error) {
          if (performance.now() > end) throw error;
          await pause(100);
        }
      }
    },
  };
}

/** All processes whose working directory is below `directory`. */
export function processesBelow(directory: string): readonly number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return [];
    try {
      return readlinkSync(`/proc/${entry}/cwd`).startsWith(`${directory}/`) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}
