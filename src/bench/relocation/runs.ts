/** Starting runbooks and waiting for their ends, as the benchmark needs it. */

import { startRunbook } from '../../connections/startRunbook.js';
import type { WorkflowType } from '../../fleet/names.js';
import type { RequestByType } from '../../fleet/requests.js';
import type { RunbookResult } from '../../fleet/runbook.js';
import type { TestFleet } from '../../testbed/fleet.js';
import type { MovedDatabase } from '../../workflows/moveDatabase.js';
import type { Relocated } from '../../workflows/relocateDatabases.js';
import type { SwitchedOver } from '../../workflows/switchover.js';

async function run<T extends WorkflowType, R>(
  fleet: TestFleet,
  type: T,
  name: string,
  request: RequestByType[T],
): Promise<R> {
  const { temporal } = fleet.dev;
  const subject = { fleet: fleet.dev.fleet.name };
  const started = await startRunbook(temporal, type, name, request, subject);
  const handle = temporal.workflow.getHandle(started.workflowId, started.runId);
  return ((await handle.result()) as RunbookResult<R>).result;
}

export function moveTo(fleet: TestFleet, database: string, server: string): Promise<MovedDatabase> {
  return run(fleet, 'moveDatabase', database, { database, to: { server } });
}

/** An engineer has seen the plan, and says yes. */
export function relieve(fleet: TestFleet, host: string, horizon: number): Promise<Relocated> {
  const approved = { 'move the databases': { by: 'bench', reason: 'the host is full' } };
  return run(fleet, 'relocateDatabases', host, { host, horizon, approved });
}

export function switchOver(fleet: TestFleet, database: string): Promise<SwitchedOver> {
  return run(fleet, 'switchover', database, { database });
}
