/** Records the histories of pauses of writes, on a host on which no fork fits. Run by scripts/record-histories. */

import { rmSync } from 'node:fs';
import process from 'node:process';
import { processFiles } from '../host/layout.js';
import { startTestFleet } from './fleet.js';
import { recordRun } from './historyRecorder.js';
import { loadData } from './load.js';
import { waitFor } from './waiting.js';

const fleet = await startTestFleet({
  servers: 1,
  databasesPerServer: 1,
  maxmemory: '96MiB',
  memory: '100MiB',
});
try {
  const [database = ''] = fleet.databases;
  await loadData({ ...fleet.application, where: await fleet.leader(database), megabytes: 20, seed: 1 });
  await recordRun(fleet, 'pauseWrites', 'saved', { database }, 'approve');
  await recordRun(fleet, 'pauseWrites', 'aborted', { database }, 'abort');
  const { host } = await fleet.follower(database);
  const pid = fleet.pidOf(database, host);
  if (pid !== null) process.kill(pid, 'SIGKILL');
  await waitFor(() => fleet.pidOf(database, host) === null, {
    deadlineMs: 10_000,
    what: `${database} to be gone`,
  });
  rmSync(processFiles(fleet.dev.data.host(host), database).directory, { recursive: true });
  const request = { database, way: 'full', pauseWrites: { seconds: 20 } } as const;
  await recordRun(fleet, 'bringUpFollower', 'full-paused', request, 'approve');
} finally {
  await fleet.stop();
}
