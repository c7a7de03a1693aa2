/** Runs a procedure on a fleet for once, and keeps its history for test/workflow/replay.test.ts. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { startRunbook } from '../connections/startRunbook.js';
import { findBinary } from '../dev/binaries.js';
import type { WorkflowType } from '../fleet/names.js';
import type { RequestByType } from '../fleet/requests.js';
import type { RunbookState } from '../fleet/runbook.js';
import type { TestFleet } from './fleet.js';
import { waitFor } from './waiting.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const HISTORIES = fileURLToPath(new URL('../../test/histories/', import.meta.url));
const BY = { by: 'test', reason: 'recorded for replay' };

/** Starts one, moves it on where it waits, and records how it went. */
export async function recordRun<
  T extends Exclude<WorkflowType, 'provisionServer' | 'watchServer' | 'backupSweep'>,
>(
  on: TestFleet,
  type: T,
  name: string,
  request: RequestByType[T] & { readonly database: string },
  decision?: 'approve' | 'abort',
): Promise<void> {
  const { temporal } = on.dev;
  const started = await startRunbook(temporal, type, request.database, request, {
    fleet: on.dev.fleet.name,
    databases: [request.database],
  });
  const handle = temporal.workflow.getHandle(started.workflowId, started.runId);
  if (decision !== undefined) {
    await waitFor(async () => (await handle.query<RunbookState>('runbook')).status === 'waiting', {
      deadlineMs: 30_000,
      what: `${name} to wait for approval`,
    });
    await handle.executeUpdate(decision, { args: [BY] });
  }
  await handle.result().catch((error: unknown) => {
    if (decision !== 'abort') throw error;
  });
  record(on, `${type}-${name}`, started.workflowId, started.runId);
}

/** As the command line writes it: what the SDK would write does not replay. */
export function record(on: TestFleet, name: string, id: string, runId?: string): void {
  const history = execFileSync(
    findBinary('temporal', process.env),
    [
      'workflow',
      'show',
      '-o',
      'json',
      '--workflow-id',
      id,
      ...(runId === undefined ? [] : ['--run-id', runId]),
    ],
    { env: { ...process.env, ...on.dev.env }, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  mkdirSync(HISTORIES, { recursive: true });
  const file = path.join(HISTORIES, `${name}.json`);
  // Neither who recorded it nor where.
  const anonymous = history
    .replaceAll(/"identity": "[^"]*"/g, '"identity": "recorded"')
    .replaceAll(PROJECT, '/redis-fleet/')
    .replaceAll(hostname(), 'machine');
  writeFileSync(file, anonymous);
  process.stdout.write(`${file}\n`);
}
