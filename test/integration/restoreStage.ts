/** What the stories of restores share. */

import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { Endpoint } from '../../src/fleet/record.js';
import type { RestoreDatabaseRequest } from '../../src/fleet/requests.js';
import type { RunbookState } from '../../src/fleet/runbook.js';
import { openClient } from '../../src/testbed/clients.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { REPLACE } from '../../src/workflows/restoreOutline.js';
import type { RestoredDatabase } from '../../src/workflows/restoreResult.js';
import { SECOND } from './bringUpStage.js';

export const APPROVED = { [REPLACE.name]: { by: 'ann', reason: 'it is lost anyway' } };

export async function restore(fleet: TestFleet, request: RestoreDatabaseRequest): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name, databases: [request.database] };
  const started = await startRunbook(
    fleet.dev.temporal,
    'restoreDatabase',
    request.database,
    request,
    subject,
  );
  expect(started.wasRunning).toBe(false);
  return started.workflowId;
}

export type Restored = RestoredDatabase & { readonly runbook: RunbookState };

export async function restored(fleet: TestFleet, workflowId: string): Promise<Restored> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  if (end.runbook === null) throw new Error(`${workflowId} left no state`);
  return { ...(end.result as RestoredDatabase), runbook: end.runbook };
}

/** Sets as an application does, by the record; waits until the follower has it. */
export async function write(fleet: TestFleet, database: string, key: string, value: string): Promise<void> {
  const client = openClient(await fleet.leader(database), fleet.application, 3 * SECOND);
  try {
    await client.connect();
    await client.set(key, value);
  } finally {
    client.disconnect();
  }
  const { follower } = await fleet.record(database);
  if (follower !== null && fleet.pidOf(database, follower.host) !== null)
    await waitFor(async () => (await read(fleet, follower, key)) === value, {
      deadlineMs: 60 * SECOND,
      what: `${key} to arrive at the follower`,
    });
}

export async function read(fleet: TestFleet, where: Endpoint, key: string): Promise<string | null> {
  const client = openClient(where, fleet.application, 3 * SECOND);
  try {
    await client.connect();
    return await client.get(key);
  } finally {
    client.disconnect();
  }
}

export function flipByte(file: string): void {
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  writeFileSync(file, bytes);
}

export function cutShort(file: string): void {
  truncateSync(file, Math.floor(readFileSync(file).length / 2));
}

export function loseFile(file: string): void {
  rmSync(file);
}

/** No copy of a backup is left on any host. */
export function expectNothingFetched(fleet: TestFleet, database: string): void {
  for (const { name } of fleet.dev.fleet.servers.flatMap(({ hosts }) => hosts)) {
    const folder = path.join(fleet.dev.data.host(name), '.fetched');
    expect(existsSync(folder) ? readdirSync(folder) : []).not.toContain(database);
  }
}
