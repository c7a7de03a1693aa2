/**
 * Records the histories that test/workflow/replay.test.ts replays: every workflow type, and every way of a bring-up,
 * on a fleet for once. Run it (scripts/record-histories) when a workflow changes its shape on purpose.
 */

import { copyFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { FleetError } from '../fleet/errors.js';
import { workflowId } from '../fleet/names.js';
import type { Endpoint } from '../fleet/record.js';
import type { BringUpFollowerRequest } from '../fleet/requests.js';
import { processFiles } from '../host/layout.js';
import { startTestFleet, type TestFleet } from './fleet.js';
import { record, recordRun } from './historyRecorder.js';
import { waitFor } from './waiting.js';

const fleet = await startTestFleet({ servers: 2, databasesPerServer: 1 });
try {
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
  await recordRun(fleet, 'switchover', 'dry-run', { database: other, dryRun: true });
  await recordRun(fleet, 'switchover', 'done', { database: other });
  await kill(fleet, other, await fleet.leader(other));
  await recordRun(fleet, 'promoteFollower', 'gone', { database: other });
  const { host } = await fleet.leader(database);
  const leader = fleet.pidOf(database, host);
  if (leader === null) throw new FleetError('NotFound', `${database} does not run on ${host}.`);
  process.kill(leader, 'SIGSTOP');
  await recordRun(fleet, 'promoteFollower', 'hung-approved', { database, ask: true }, 'approve');
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
  await recordRun(on, 'bringUpFollower', name, request, decision);
}

async function kill(on: TestFleet, database: string, { host }: Endpoint): Promise<void> {
  const pid = on.pidOf(database, host);
  if (pid !== null) process.kill(pid, 'SIGKILL');
  await waitFor(() => on.pidOf(database, host) === null, {
    deadlineMs: 10_000,
    what: `${database} to be gone`,
  });
}
