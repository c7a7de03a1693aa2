import { proxyActivities } from '@temporalio/workflow';
import type { HostActivities, ProcessSpec } from '../../src/activities/contracts.js';

/** Starts a process on a host twice, as a retry would, and says what the host has left. */
export async function startTwice(input: { queue: string; process: ProcessSpec }): Promise<{
  started: readonly boolean[];
  available: number;
}> {
  const host = proxyActivities<HostActivities>({
    taskQueue: input.queue,
    startToCloseTimeout: '30s',
    scheduleToStartTimeout: '10s',
    retry: { maximumAttempts: 3 },
  });
  const first = await host.startProcess({ process: input.process, allowEmpty: true });
  const second = await host.startProcess({ process: input.process, allowEmpty: true });
  const { available } = await host.hostMemory();
  return { started: [first.started, second.started], available };
}
