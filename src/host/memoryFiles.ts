/** The kernel's texts about memory. Sizes are bytes. */

import type { HostMemory } from '../fleet/facts.js';

export interface CgroupPath {
  readonly version: 1 | 2;
  readonly path: string;
}

/** `/proc/meminfo` */
export function parseMeminfo(text: string): HostMemory {
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]);
  return { total: kilobytes('MemTotal') * 1024, available: kilobytes('MemAvailable') * 1024 };
}

/** `/proc/meminfo`: none where the machine has no swap. */
export function parseSwap(text: string): { readonly swapTotal: number; readonly swapFree: number } {
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return { swapTotal: bytes('SwapTotal'), swapFree: bytes('SwapFree') };
}

/** `/proc/sys/vm/overcommit_memory`. null: it says nothing. */
export function parseOvercommit(text: string): number | null {
  return /^[0-2]$/.test(text.trim()) ? Number(text.trim()) : null;
}

/** `/proc/self/cgroup`: where a process stands in the hierarchies that can limit its memory. */
export function parseCgroups(text: string): readonly CgroupPath[] {
  return text.split('\n').flatMap((line): CgroupPath[] => {
    const [hierarchy = '', controllers = '', ...rest] = line.split(':');
    const path = rest.join(':');
    if (path === '') return [];
    if (hierarchy === '0' && controllers === '') return [{ version: 2, path }];
    return controllers.split(',').includes('memory') ? [{ version: 1, path }] : [];
  });
}

/** `memory.stat`: a name and a number a line. */
export function parseStat(text: string): ReadonlyMap<string, number> {
  return new Map(
    text.split('\n').map((line) => {
      const [name = '', value = ''] = line.split(' ');
      return [name, Number(value)] as const;
    }),
  );
}
