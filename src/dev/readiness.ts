/** When a part of `redis-fleet dev` answers. Each waits until `deadlineMs`, and stops early when `signal` aborts. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
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

/** Whether a worker polls a queue. Hosts' queues have activities only. */
export async function isServed(client: Client, queue: string): Promise<boolean> {
  const answer = await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
    client.workflowService.describeTaskQueue({
      namespace: client.options.namespace,
      taskQueue: { name: queue },
      // TASK_QUEUE_TYPE_ACTIVITY. The package with the enum is no dependency of ours.
      // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
      taskQueueType: 2,
    }),
  );
  return answer.pollers.length > 0;
}

/** Waits for all of them, also when one fails, so that none is still at it afterwards. @throws the first failure */
export async function allReady(waits: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(waits);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
