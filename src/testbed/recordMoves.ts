/** Records the histories of moves, as recordHistories.ts does those of others. */

import { startTestFleet } from './fleet.js';
import { recordRun } from './historyRecorder.js';

const fleet = await startTestFleet({ servers: 2, databasesPerServer: 1 });
try {
  const [database = ''] = fleet.databases;
  await recordRun(fleet, 'moveDatabase', 'done', { database, to: { server: 'redis-02' } });
  await recordRun(
    fleet,
    'moveDatabase',
    'aborted',
    { database, to: { server: 'redis-01' }, ask: true },
    'abort',
  );
  await recordRun(
    fleet,
    'moveDatabase',
    'leader-only',
    { database, to: { leader: 'redis-01-a', follower: 'redis-02-b' }, ask: true },
    'approve',
  );
} finally {
  await fleet.stop();
}
