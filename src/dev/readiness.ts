/** When a part of `redis-fleet dev` answers. Each waits until `deadlineMs`, and stops early when `signal` aborts. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { awaitConsul, type FleetConsul } from '../connections/consul.js';
import { connectTemporalClient } from '../connections/temporal.js';
import { CONTROL_QUEUE, hostQueue } from '../fleet/names.js';
import { FleetError, messageOf } from '../fleet/errors.js';

export interface ReadyOptions {
  /** Ends the sentence "… did not come up within 60 s". */
  readonly what: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  /** The last lines of its log. */
  readonly lastWords: () => string;
}

const LOOK_EVERY_MS = 150;
/** Shorter than the client's own retries: they must not outlive the connection. */
const ANSWER_WITHIN_MS = 3000;

/** Tries until `attempt` returns true. @throws Unreachable */
export async function awaitReady(
  attempt: () => Promise<boolean>,
  { what, deadlineMs, signal, lastWords }: ReadyOptions,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    let trouble = '';
    try {
      if (await attempt()) return;
    } catch (error) {
      trouble = `: ${messageOf(error)}`;
    }
    if (performance.now() >= deadline) {
      throw new FleetError(
        'Unreachable',
        `${what} did not come up within ${deadlineMs / 1000} s${trouble}\nThe last lines of its log:\n${lastWords()}`,
      );
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** Whether a part does what it is there for. It may throw instead. */
export async function answers(
  { name, pid }: { readonly name: string; readonly pid: number | null },
  env: NodeJS.ProcessEnv,
  consul: FleetConsul,
): Promise<boolean> {
  if (name === 'consul') {
    await awaitConsul(consul, { patience: 'none' });
    return true;
  }
  // A connection of its own: after an outage one that was open waits before it tries again.
  const client = await connectTemporalClient(env, { patience: 'none' });
  try {
    if (name === 'worker') return await isServed(client, CONTROL_QUEUE, pid);
    if (name !== 'temporal') return await isServed(client, hostQueue(name.replace('agent:', '')), pid);
    await client.workflowService.describeNamespace({ namespace: 'default' });
    return true;
  } finally {
    await client.connection.close();
  }
}

/**
 * Whether a process polls a queue as a worker: Temporal shows one that is gone for minutes. Hosts' queues have
 * activities only.
 */
export async function isServed(client: Client, queue: string, pid: number | null): Promise<boolean> {
  if (pid === null) return false;
  const answer = await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: queue },
      // TASK_QUEUE_TYPE_ACTIVITY. The package with the enum is no dependency of ours.
      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
      taskQueueType: 2,
    }),
  );
  // As the SDK names a worker.
  return answer.pollers.some(({ identity }) => identity?.startsWith(`${pid}@`) === true);
}

/** Waits for all of them, also when one fails, so that none is still at it afterwards. @throws the first failure */
export async function allReady(waits: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(waits);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
