/** A restore as a new database, beside whatever there is: nothing of that is touched. */

import type { BackupsOf } from '../activities/restoreContract.js';
import type { RestoreDatabaseRequest } from '../fleet/requests.js';
import { ageText, lossOf, type Loss } from '../fleet/restore.js';
import type { RestorePlace } from '../fleet/restorePlace.js';
import type { Endpoint } from '../fleet/record.js';
import { control, local, onHost } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';
import { chooseBackup, discardFetched, fetchBackup } from './restoreFetch.js';
import { CHECK_HOSTS, CREATE, RELEASE, TIDY } from './restoreOutline.js';
import type { RestoredDatabase } from './restoreResult.js';
import { publish, runFromBackup } from './restoreRun.js';

export async function restoreBeside(
  runbook: Runbook,
  place: RestorePlace,
  of: BackupsOf,
  { from }: RestoreDatabaseRequest,
): Promise<RestoredDatabase> {
  const { database, server, leader, follower } = place;
  const databases = [database];
  await checkHosts(runbook, place);
  const choice = await chooseBackup(runbook, of, leader.host, from);

  await runbook.step({
    ...CREATE,
    preflight: true,
    undo: {
      does: 'Removes the new record.',
      always: true,
      run: async () => {
        await control('remove the new record').removeNewRecords({ databases });
      },
    },
    run: () =>
      control('create the record').createRecords({
        records: [{ database, server, leader }],
        urgency: 'planned',
      }),
  });
  runbook.guard(() => local().confirmOwnership({ databases }));

  const fetched = await fetchBackup(runbook, of, choice, place);
  const { backup } = fetched;
  const loss: Loss = lossOf(backup, [], Date.now());
  runbook.note(`Backup ${backup.id}: ${ageText(backup, loss)}.`);

  const pair = await runFromBackup(runbook, place, fetched, {
    does: 'Stops and removes the processes of the new database.',
    run: () => removeNew(database, [leader, ...(follower === null ? [] : [follower])]),
  });
  await publish(runbook, database, 0, pair);
  if (pair.follower === null) runbook.note(`${database} has no follower: the backup is on one host only.`);

  await runbook.step({
    ...TIDY,
    skip: { means: 'What was fetched stays on the hosts.', value: undefined },
    run: () => discardFetched(database, leader, follower),
  });
  await runbook.step({
    ...RELEASE,
    run: () => control(`release ${database}`).releaseDatabases({ databases }),
  });
  return {
    dryRun: false,
    database,
    source: of.database,
    ...pair,
    epoch: 1,
    backup: backup.id,
    takenAt: backup.takenAt,
    keys: backup.keys,
    passedOver: [...choice.passedOver, ...fetched.damaged],
    loss,
  };
}

export async function checkHosts(
  runbook: Runbook,
  { leader, follower, process }: RestorePlace,
): Promise<void> {
  await runbook.step({
    ...CHECK_HOSTS,
    preflight: true,
    run: () =>
      Promise.all(
        [leader, ...(follower === null ? [] : [follower])].map(({ host, port }) =>
          onHost(host, `check ${host}`).checkHost({ processes: [{ ...process, port }] }),
        ),
      ),
  });
}

/** Leaves what the record has published meanwhile: applications may have written to it. */
async function removeNew(database: string, endpoints: readonly Endpoint[]): Promise<void> {
  const [record] = await control('read the record').readRecords({ databases: [database] });
  if (record != null && record.epoch > 0) return;
  for (const { host } of endpoints) {
    await onHost(host, `stop ${database}`).stopProcess({ database, save: false });
    await onHost(host, `remove ${database}`).removeProcess({ database });
  }
}
