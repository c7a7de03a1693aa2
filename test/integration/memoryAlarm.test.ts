/** A host on which forks fit no longer: the check fails, and a relocation is started for it, once. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workflowId } from '../../src/fleet/names.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { cli } from './cliRunner.js';

const WITHIN_MS = 90_000;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: 1,
    maxmemory: '96MiB',
    memory: '100MiB',
    name: 'alarmed',
    relocation: '{ policy: ask }',
  });
});
afterAll(async () => {
  await fleet.stop();
});

/** null: none was ever started. */
async function relocationOf(host: string): Promise<{ runId: string; isRunning: boolean } | null> {
  try {
    const handle = fleet.dev.temporal.workflow.getHandle(workflowId('relocateDatabases', host));
    const { runId, status } = await handle.describe();
    return { runId, isRunning: status.name === 'RUNNING' };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

test('a full host is an alarm, and starts one relocation that is not started again when somebody aborts it', async () => {
  const [database = ''] = fleet.databases;
  const [leader, follower] = [await fleet.leader(database), await fleet.follower(database)];
  expect(await relocationOf(leader.host)).toBeNull();
  await loadData({ ...fleet.application, where: leader, megabytes: 30, seed: 1 });

  const started = await waitFor(
    async () => {
      for (const host of [leader.host, follower.host]) {
        const relocation = await relocationOf(host);
        if (relocation !== null) return { host, ...relocation };
      }
      return null;
    },
    { deadlineMs: WITHIN_MS, what: 'a relocation' },
  );
  const checked = await cli(fleet.dev.env, ['check']);
  expect(checked.code).toBe(1);
  expect(checked.out).toMatch(
    /FAIL {2}A fork of sessions-00, the largest on host .*fits no longer.*redis-fleet relocate --host/,
  );

  const handle = fleet.dev.temporal.workflow.getHandle(workflowId('relocateDatabases', started.host));
  // It may have ended by itself already: nothing can be moved in a fleet of one server.
  if (started.isRunning) await handle.terminate('Somebody does not want it.').catch(() => undefined);
  await waitFor(
    () => readFileSync(path.join(fleet.dev.data.logs, 'worker.log'), 'utf8').includes('notAgainWithin'),
    {
      deadlineMs: WITHIN_MS,
      what: 'the watch to let it be',
    },
  );
  expect(await relocationOf(started.host)).toEqual({ runId: started.runId, isRunning: false });
  const other = started.host === leader.host ? follower.host : leader.host;
  expect(await relocationOf(other)).toBeNull();
});
