/** Records the histories of backups being made. Run by scripts/record-histories. */

import { startRunbook } from '../connections/startRunbook.js';
import { startTestFleet } from './fleet.js';
import { record, recordRun } from './historyRecorder.js';

const fleet = await startTestFleet({ servers: 1, databasesPerServer: 2 });
try {
  const [database = ''] = fleet.databases;
  const { host } = await fleet.follower(database);
  await recordRun(fleet, 'backupDatabase', 'verified', { database });
  const { temporal } = fleet.dev;
  const subject = { fleet: fleet.dev.fleet.name, hosts: [host] };
  const { workflowId, runId } = await startRunbook(temporal, 'backupSweep', host, { host }, subject);
  await temporal.workflow.getHandle(workflowId, runId).result();
  record(fleet, 'backupSweep', workflowId, runId);
} finally {
  await fleet.stop();
}
