/**
 * Brings data back from a backup: in place of what a database holds, or as a new database beside it. Also where leader
 * and follower are both lost. What the backup lacks is said before anything is asked for, and nothing that is there now
 * is given up before the restored data serves.
 */

import type { BackupsOf } from '../activities/restoreContract.js';
import { readBackupId } from '../fleet/backup.js';
import { ageText, lossOf, lossText, type StandingProcess } from '../fleet/restore.js';
import type { RestorePlace } from '../fleet/restorePlace.js';
import type { RestoreDatabaseRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, local } from './engine/activityOptions.js';
import { runRunbook, type Runbook } from './engine/runbook.js';
import { checkHosts, restoreBeside } from './restoreBeside.js';
import { chooseBackup } from './restoreFetch.js';
import { lookBefore, restoreInPlace, type InPlace } from './restoreInPlace.js';
import {
  BESIDE_STEPS,
  CHECK,
  DRY_BESIDE_STEPS,
  DRY_IN_PLACE_STEPS,
  IN_PLACE_STEPS,
  PLACE,
} from './restoreOutline.js';
import type { RestoredDatabase } from './restoreResult.js';

export async function restoreDatabase(
  input: RestoreDatabaseRequest,
): Promise<RunbookResult<RestoredDatabase>> {
  return runRunbook({ title: 'Restore a database' }, async (runbook) => {
    runbook.outline(outlineOf(input));
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'restoreDatabase', request: input }),
    });
    const { place, store } = await runbook.step({
      ...PLACE,
      preflight: true,
      run: () => control(`where ${request.database} goes`).placeRestore({ request }),
    });
    const { database, leader, follower, server } = place;
    runbook.subject({
      fleet,
      servers: [server],
      databases: [...new Set([database, request.database])],
      hosts: [leader.host, ...(follower === null ? [] : [follower.host])],
      ...(request.approved === undefined ? {} : { approved: request.approved }),
    });
    const of: BackupsOf = { store, fleet, database: request.database };
    if (request.dryRun === true) return foretell(runbook, place, of, request);
    return isInPlace(place)
      ? restoreInPlace(runbook, place, of, request)
      : restoreBeside(runbook, place, of, request);
  });
}

/** What a backup is worth shows only when it is fetched: a dry run goes by its last check. */
async function foretell(
  runbook: Runbook,
  place: RestorePlace,
  of: BackupsOf,
  { from }: RestoreDatabaseRequest,
): Promise<RestoredDatabase> {
  let standing: readonly StandingProcess[] = [];
  if (isInPlace(place)) standing = await lookBefore(runbook, place);
  else await checkHosts(runbook, place);
  const { ids, passedOver } = await chooseBackup(runbook, of, place.leader.host, from);
  const [backup = ''] = ids;
  const takenAt = readBackupId(backup)?.takenAt ?? '';
  const loss = lossOf({ takenAt, position: null }, standing, Date.now());
  runbook.note(
    `Backup ${backup} would be restored to ${place.database}: ${ageText({ takenAt }, loss)}; ${lossText(loss)}.`,
  );
  const { database, leader, follower, record } = place;
  return {
    dryRun: true,
    database,
    source: of.database,
    leader,
    follower,
    epoch: record?.epoch ?? 0,
    backup,
    takenAt,
    keys: null,
    passedOver,
    loss,
    leaderForks: null,
  };
}

function isInPlace(place: RestorePlace): place is InPlace {
  return place.record !== null;
}

function outlineOf({ into = 'in-place', dryRun = false }: RestoreDatabaseRequest) {
  if (into === 'in-place') return dryRun ? DRY_IN_PLACE_STEPS : IN_PLACE_STEPS;
  return dryRun ? DRY_BESIDE_STEPS : BESIDE_STEPS;
}
