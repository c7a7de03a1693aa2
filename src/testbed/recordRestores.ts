/** Records the histories of everything that backups are used for. Run by scripts/record-histories. */

import { rmSync } from 'node:fs';
import process from 'node:process';
import type { Endpoint } from '../fleet/record.js';
import { processFiles } from '../host/layout.js';
import { makeBackup } from './backups.js';
import { startTestFleet, type TestFleet } from './fleet.js';
import { recordRun } from './historyRecorder.js';
import { loadData } from './load.js';
import { waitFor } from './waiting.js';

const fleet = await startTestFleet({ servers: 1, databasesPerServer: 3 });
try {
  const [lost = '', wrong = '', copied = ''] = fleet.databases;
  for (const database of fleet.databases) {
    await loadData({ ...fleet.application, where: await fleet.leader(database), megabytes: 0.1, seed: 1 });
    await makeBackup(fleet, database);
  }
  await lose(fleet, lost);
  await recordRun(fleet, 'restoreDatabase', 'lost', { database: lost }, 'approve');
  await recordRun(fleet, 'restoreDatabase', 'in-place', { database: wrong }, 'approve');
  await recordRun(fleet, 'restoreDatabase', 'aborted', { database: wrong }, 'abort');
  await recordRun(fleet, 'restoreDatabase', 'dry-run', { database: copied, dryRun: true });
  await recordRun(fleet, 'restoreDatabase', 'beside', {
    database: copied,
    into: { database: `${copied}-restored` },
  });
  await recordRun(fleet, 'drillBackups', 'passed', { database: copied });
  await loseOne(fleet, copied, await fleet.follower(copied));
  await recordRun(fleet, 'bringUpFollower', 'store', { database: copied });
} finally {
  await fleet.stop();
}

async function lose(on: TestFleet, database: string): Promise<void> {
  for (const endpoint of [await on.follower(database), await on.leader(database)])
    await loseOne(on, database, endpoint);
}

/** With its directory. */
async function loseOne(on: TestFleet, database: string, { host }: Endpoint): Promise<void> {
  const pid = on.pidOf(database, host);
  if (pid !== null) process.kill(pid, 'SIGKILL');
  await waitFor(() => on.pidOf(database, host) === null, {
    deadlineMs: 10_000,
    what: `${database} to be gone`,
  });
  rmSync(processFiles(on.dev.data.host(host), database).directory, { recursive: true });
}
