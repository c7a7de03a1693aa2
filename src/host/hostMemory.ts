import type { HostMemory, HostProcess, KernelMemory } from '../fleet/facts.js';
import { withinBudget } from '../fleet/headroom.js';
import { readHostMemory, readKernelMemory } from './resources.js';
import type { HostSettings } from './settings.js';

/** What this host has for Redis now. Bytes. */
export async function hostMemory(
  { memory }: Pick<HostSettings, 'memory'>,
  processes: readonly Pick<HostProcess, 'residentMemory'>[],
): Promise<HostMemory> {
  const resident = processes.reduce((sum, { residentMemory }) => sum + (residentMemory ?? 0), 0);
  return withinBudget(await readHostMemory(), memory, resident);
}

/** @param memory what `hostMemory` said: less than the machine and its cgroups leave is what the fleet file allows */
export async function kernelMemory(memory: HostMemory): Promise<KernelMemory> {
  const { available, ...kernel } = await readKernelMemory();
  return memory.available < available - JITTER_BYTES ? { ...kernel, limitedBy: 'budget' } : kernel;
}

/** Between the two looks others took or gave back some. */
const JITTER_BYTES = 64 * 1024 ** 2;
