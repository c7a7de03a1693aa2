/**
 * Records the histories that test/workflow/replay.test.ts replays: every workflow type, and every way of a bring-up,
 * on a fleet for once. Run it (scripts/record-histories) when a workflow changes its shape on purpose.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { startRunbook } from '../connections/startRunbook.js';
import { findBinary } from '../dev/binaries.js';
import { FleetError } from '../fleet/errors.js';
import { workflowId, type WorkflowType } from '../fleet/names.js';
import type { Endpoint } from '../fleet/record.js';
import type { RunbookState } from '../fleet/runbook.js';
import type { BringUpFollowerRequest, RequestByType } from '../fleet/requests.js';
import { processFiles } from '../host/layout.js';
import { startTestFleet, type TestFleet } from './fleet.js';
import { waitFor } from './waiting.js';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const HISTORIES = fileURLToPath(new URL('../../test/histories/', import.meta.url));
const BY = { by: 'test', reason: 'recorded for replay' };

const fleet = await startTestFleet({ servers: 2, databasesPerServer: 1 });
try {
  mkdirSync(HISTORIES, { recursive: true });
  record(fleet, 'provisionServer', workflowId('provisionServer', 'redis-01'));
  const [database = ''] = fleet.databases;
  const follower = await fleet.follower(database);

  await bringUp(fleet, 'following', { database });
  await kill(fleet, database, follower);
  await bringUp(fleet, 'own-files', { database });

  const file = path.join(fleet.dev.data.root, 'backup.rdb');
  copyFileSync(await fleet.save(database, follower), file);
  await kill(fleet, database, follower);
  await bringUp(fleet, 'backup', { database, way: 'backup', backup: { file } });

  const third = fleet.dev.fleet.servers
    .flatMap(({ hosts }) => hosts)
    .find(({ name }) => name === 'redis-02-b');
  if (third === undefined) throw new FleetError('NotFound', 'The fleet has no redis-02-b.');
  await bringUp(fleet, 'chain', { database, way: 'chain', host: third.name });

  await kill(fleet, database, follower);
  rmSync(processFiles(fleet.dev.data.host(follower.host), database).data, { force: true });
  await bringUp(fleet, 'full-approved', { database, way: 'full' }, 'approve');

  await kill(fleet, database, follower);
  await bringUp(fleet, 'full-aborted', { database, way: 'full' }, 'abort');

  const [, other = ''] = fleet.databases;
  await run(fleet, 'switchover', 'dry-run', { database: other, dryRun: true });
  await run(fleet, 'switchover', 'done', { database: other });
  await kill(fleet, other, await fleet.leader(other));
  await run(fleet, 'promoteFollower', 'gone', { database: other });
  const { host } = await fleet.leader(database);
  const leader = fleet.pidOf(database, host);
  if (leader === null) throw new FleetError('NotFound', `${database} does not run on ${host}.`);
  process.kill(leader, 'SIGSTOP');
  await run(fleet, 'promoteFollower', 'hung-approved', { database, ask: true }, 'approve');
  record(fleet, 'watchServer', workflowId('watchServer', 'redis-01'));
} finally {
  await fleet.stop();
}

async function bringUp(
  on: TestFleet,
  name: string,
  request: BringUpFollowerRequest,
  decision?: 'approve' | 'abort',
): Promise<void> {
  await run(on, 'bringUpFollower', name, request, decision);
}

async function run<T extends Exclude<WorkflowType, 'provisionServer' | 'watchServer'>>(
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
function record(on: TestFleet, name: string, id: string, runId?: string): void {
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
  const file = path.join(HISTORIES, `${name}.json`);
  // Neither who recorded it nor where.
  const anonymous = history
    .replaceAll(/"identity": "[^"]*"/g, '"identity": "recorded"')
    .replaceAll(PROJECT, '/redis-fleet/')
    .replaceAll(hostname(), 'machine');
  writeFileSync(file, anonymous);
  process.stdout.write(`${file}\n`);
}

async function kill(on: TestFleet, database: string, { host }: Endpoint): Promise<void> {
  const pid = on.pidOf(database, host);
  if (pid !== null) process.kill(pid, 'SIGKILL');
  await waitFor(() => on.pidOf(database, host) === null, {
    deadlineMs: 10_000,
    what: `${database} to be gone`,
  });
}
