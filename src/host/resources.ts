/** What the host has left: memory, with the limits of the cgroups that the agent and its processes live in; disk. */

import { readFile, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { HostMemory, KernelMemory } from '../fleet/facts.js';
import type { LimitedMemory } from '../fleet/relocation/state.js';
import {
  parseCgroups,
  parseMeminfo,
  parseOvercommit,
  parseStat,
  parseSwap,
  type CgroupPath,
} from './memoryFiles.js';

const CGROUP_ROOT = '/sys/fs/cgroup';

export interface MachineMemory {
  /** Bytes. The least of what the machine and each enclosing cgroup (v1 or v2) allow. */
  readonly memory: HostMemory;
  /** It knows nothing of the fleet file: `limitedBy` is the machine or a cgroup. */
  readonly kernel: KernelMemory;
}

/** One look: each file is read once. */
export async function readMachineMemory(root = '/'): Promise<MachineMemory> {
  const [meminfo, cgroups, overcommit] = await Promise.all([
    readFile(path.join(root, 'proc/meminfo'), 'utf8'),
    readText(path.join(root, 'proc/self/cgroup')),
    readText(path.join(root, 'proc/sys/vm/overcommit_memory')),
  ]);
  const limits = await Promise.all(parseCgroups(cgroups ?? '').map((cgroup) => readCgroup(root, cgroup)));
  const { limitedBy, ...memory } = tightest(parseMeminfo(meminfo), limits.flat());
  return {
    memory,
    kernel: { limitedBy, ...parseSwap(meminfo), overcommit: parseOvercommit(overcommit ?? '') },
  };
}

function tightest(machine: HostMemory, cgroups: readonly HostMemory[]): LimitedMemory {
  return cgroups.reduce<LimitedMemory>(
    (least, limit) => ({
      total: Math.min(least.total, limit.total),
      available: Math.min(least.available, limit.available),
      limitedBy: limit.available < least.available ? 'cgroup' : least.limitedBy,
    }),
    { ...machine, limitedBy: 'machine' },
  );
}

/** Bytes that an ordinary user may still write to the file system of `directory`. */
export async function readDiskAvailable(directory: string): Promise<number> {
  for (let at = path.resolve(directory); ; at = path.dirname(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      // Not made yet: its parent is on the same file system.
      if (at === path.dirname(at)) throw error;
    }
  }
}

interface Names {
  readonly limit: string;
  readonly usage: string;
  readonly inactive: string;
}

const V1: Names = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  inactive: 'total_inactive_file',
};
const V2: Names = { limit: 'memory.max', usage: 'memory.current', inactive: 'inactive_file' };

/** A limit may stand on the cgroup itself or on any that encloses it. */
async function readCgroup(root: string, cgroup: CgroupPath): Promise<HostMemory[]> {
  const names = cgroup.version === 1 ? V1 : V2;
  const mounts = cgroup.version === 1 ? ['memory'] : ['', 'unified'];
  const limits: HostMemory[] = [];
  for (const mount of mounts) {
    const base = path.join(root, CGROUP_ROOT, mount);
    for (let at = path.join(base, cgroup.path); at.startsWith(base); at = path.dirname(at)) {
      const limit = await readLimit(at, names);
      if (limit !== null) limits.push(limit);
      if (at === base) break;
    }
  }
  return limits;
}

async function readLimit(directory: string, names: Names): Promise<HostMemory | null> {
  const total = Number((await readText(path.join(directory, names.limit))) ?? Number.NaN);
  const usage = Number((await readText(path.join(directory, names.usage))) ?? Number.NaN);
  // "max" in v2, and a number beyond any machine in v1, is no limit.
  if (!Number.isFinite(total) || !Number.isFinite(usage) || total > Number.MAX_SAFE_INTEGER / 2) return null;
  // File pages that nobody uses count as used here, and are given up when memory is wanted.
  const stat = parseStat((await readText(path.join(directory, 'memory.stat'))) ?? '');
  const used = Math.max(0, usage - (stat.get(names.inactive) ?? 0));
  return { total, available: Math.max(0, total - used) };
}

async function readText(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    return null;
  }
}
