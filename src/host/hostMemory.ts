import type { HostMemory, HostProcess } from '../fleet/facts.js';
import { withinBudget } from '../fleet/headroom.js';
import { readHostMemory } from './resources.js';
import type { HostSettings } from './settings.js';

/** What this host has for Redis now. Bytes. */
export async function hostMemory(
  { memory }: Pick<HostSettings, 'memory'>,
  processes: readonly Pick<HostProcess, 'residentMemory'>[],
): Promise<HostMemory> {
  const resident = processes.reduce((sum, { residentMemory }) => sum + (residentMemory ?? 0), 0);
  return withinBudget(await readHostMemory(), memory, resident);
}
