/** What the stories of moves share: starting one, its end, and what every one of them must leave behind. */

import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import type { MoveDatabaseRequest } from '../../src/fleet/requests.js';
import type { RunbookState } from '../../src/fleet/runbook.js';
import { processFiles } from '../../src/host/layout.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import type { MovedDatabase } from '../../src/workflows/moveDatabase.js';
import { caughtUpFollower } from './bringUpStage.js';

/** With a database whose follower's host, redis-01-b, has no room for a fork of it while writes go on. */
export async function startCrampedFleet(name: string): Promise<TestFleet> {
  const fleet = await startTestFleet({
    servers: 2,
    databasesPerServer: 1,
    maxmemory: '64MiB',
    memory: '400MiB',
    memoryOf: { 'redis-01-b': '72MiB' },
    name,
  });
  const where = await fleet.leader('sessions-00');
  await loadData({ ...fleet.application, where, megabytes: 20, seed: 1 });
  await caughtUpFollower(fleet, 'sessions-00');
  return fleet;
}

export async function startMove(fleet: TestFleet, request: MoveDatabaseRequest): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name, databases: [request.database] };
  const started = await startRunbook(fleet.dev.temporal, 'moveDatabase', request.database, request, subject);
  expect(started.wasRunning).toBe(false);
  return started.workflowId;
}

export type Moved = MovedDatabase & { readonly runbook: RunbookState };

export async function moved(fleet: TestFleet, workflowId: string): Promise<Moved> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  if (end.runbook === null) throw new Error(`${workflowId} left no state`);
  return { ...(end.result as MovedDatabase), runbook: end.runbook };
}

/** Nothing of a database is left on a host: neither a process nor a file. */
export function isGoneFrom(fleet: TestFleet, database: string, { host }: Pick<Endpoint, 'host'>): boolean {
  return (
    fleet.pidOf(database, host) === null &&
    !existsSync(processFiles(fleet.dev.data.host(host), database).directory)
  );
}

/** Of everybody that the record names, by host. */
export async function forkCounts(
  fleet: TestFleet,
  { leader, follower, extraFollowers = [] }: DatabaseRecord,
): Promise<Readonly<Record<string, number>>> {
  const all = [leader, ...(follower === null ? [] : [follower]), ...extraFollowers];
  const counts = await Promise.all(
    all.map(async (one) => [one.host, (await fleet.facts(one)).totalForks] as const),
  );
  return Object.fromEntries(counts);
}
