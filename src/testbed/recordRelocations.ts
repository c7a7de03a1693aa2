/** Records the histories of relocations, as recordHistories.ts does those of others. */

import { startRunbook } from '../connections/startRunbook.js';
import type { RelocateDatabasesRequest } from '../fleet/requests.js';
import type { ControlMessage, RunbookState } from '../fleet/runbook.js';
import { startTestFleet } from './fleet.js';
import { record } from './historyRecorder.js';
import { waitFor } from './waiting.js';

const BY = { by: 'test', reason: 'recorded for replay' };

const fleet = await startTestFleet({ servers: 2, databasesPerServer: 2 });
try {
  await relocate('safe', { host: 'redis-01-a', horizon: 60 });
  await relocate('dry-run', { drain: 'redis-01-a', dryRun: true });
  await relocate('aborted', { drain: 'redis-01-a' }, 'abort');
  await relocate('drained', { drain: 'redis-01-a' }, 'approve');
} finally {
  await fleet.stop();
}

async function relocate(
  name: string,
  request: RelocateDatabasesRequest,
  decision?: ControlMessage,
): Promise<void> {
  const { temporal } = fleet.dev;
  const subject = { fleet: fleet.dev.fleet.name };
  const { workflowId, runId } = await startRunbook(temporal, 'relocateDatabases', name, request, subject);
  const handle = temporal.workflow.getHandle(workflowId, runId);
  if (decision !== undefined) {
    await waitFor(async () => (await handle.query<RunbookState>('runbook')).status === 'waiting', {
      deadlineMs: 60_000,
      what: `${name} to wait for approval`,
    });
    await handle.executeUpdate(decision, { args: [BY] });
  }
  await handle.result().catch((error: unknown) => {
    if (decision !== 'abort') throw error;
  });
  record(fleet, `relocateDatabases-${name}`, workflowId, runId);
}
