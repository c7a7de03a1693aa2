import type { HostMemory, HostProcess, KernelMemory } from '../fleet/facts.js';
import { withinBudget } from '../fleet/headroom.js';
import { readMachineMemory } from './resources.js';
import type { HostSettings } from './settings.js';

/** From one look: what this host has for Redis now, in bytes, and what happens there when it is short. */
export async function lookAtMemory(
  { memory: budget }: Pick<HostSettings, 'memory'>,
  processes: readonly Pick<HostProcess, 'residentMemory'>[],
  root = '/',
): Promise<{ readonly memory: HostMemory; readonly kernel: KernelMemory }> {
  const resident = processes.reduce((sum, { residentMemory }) => sum + (residentMemory ?? 0), 0);
  const { memory: machine, kernel } = await readMachineMemory(root);
  const memory = withinBudget(machine, budget, resident);
  return {
    memory,
    kernel: memory.available < machine.available ? { ...kernel, limitedBy: 'budget' } : kernel,
  };
}

/** What this host has for Redis now. Bytes. */
export async function hostMemory(
  settings: Pick<HostSettings, 'memory'>,
  processes: readonly Pick<HostProcess, 'residentMemory'>[],
): Promise<HostMemory> {
  return (await lookAtMemory(settings, processes)).memory;
}
