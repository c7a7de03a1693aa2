/** The bounds that every activity has, told with a clock that jumps over the waiting. */

import { ApplicationFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CONTROL_QUEUE } from '../../../src/fleet/names.js';
import { startTimeSkippingTemporal } from '../../../src/testbed/temporal.js';
import { waitFor } from '../../../src/testbed/waiting.js';
import { bundleStories, progressOf, resultOf, stateOf, tell } from './stage.js';

const MINUTE_MS = 60_000;

let temporal: TestWorkflowEnvironment;
let worker: Worker;
let running: Promise<void>;
/** Until when Consul is away, by the server's clock. */
let awayUntil = 0;

beforeAll(async () => {
  const [environment, workflowBundle] = await Promise.all([startTimeSkippingTemporal(), bundleStories()]);
  temporal = environment;
  worker = await Worker.create({
    connection: temporal.nativeConnection,
    taskQueue: CONTROL_QUEUE,
    workflowBundle,
    activities: {
      confirmOwnership: async () => {
        if ((await temporal.currentTimeMs()) < awayUntil) {
          throw ApplicationFailure.retryable('Consul at 127.0.0.1:8500 does not answer.', 'Unreachable');
        }
      },
    },
  });
  running = worker.run();
});
afterAll(async () => {
  worker.shutdown();
  await running;
  await temporal.teardown();
});

async function start(type: string, workflowId: string, input: unknown) {
  return temporal.client.workflow.start(type, { taskQueue: CONTROL_QUEUE, workflowId, args: [input] });
}

for (const where of ['queue', 'local'] as const) {
  test(`an outage of minutes is ridden out (${where})`, async () => {
    awayUntil = (await temporal.currentTimeMs()) + 7 * MINUTE_MS;
    const handle = await start('usualBounds', `ridden-out-${where}`, { where });
    const { runbook } = await resultOf<string>(handle);
    expect(runbook.decisions).toEqual([]);
    expect(await temporal.currentTimeMs()).toBeGreaterThanOrEqual(awayUntil);
  });

  test(`a longer one makes the runbook stuck, and it goes on afterwards (${where})`, async () => {
    awayUntil = Number.POSITIVE_INFINITY;
    const handle = await start('usualBounds', `stuck-${where}`, { where });
    const stuck = await waitFor(
      async () => {
        await temporal.sleep('1 minute');
        const state = await stateOf(handle);
        return state.status === 'stuck' && state;
      },
      { deadlineMs: 20_000, what: 'the runbook to be stuck' },
    );
    expect(progressOf(stuck, 'confirm')).toMatchObject({
      kind: 'Unreachable',
      problem: expect.stringMatching(
        /^Consul at 127.0.0.1:8500 does not answer. The retries of confirmOwnership are used up \(.* 10 min\)/,
      ) as string,
    });
    awayUntil = 0;
    await tell(handle, 'retry');
    expect((await resultOf(handle)).result).toBe('confirmed');
  });
}
