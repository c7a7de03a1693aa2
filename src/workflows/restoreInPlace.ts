/** A restore in place of what the database holds now, be that a living pair or nothing at all. */

import { sleep } from '@temporalio/workflow';
import type { BackupsOf } from '../activities/restoreContract.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import { sameEndpoint } from '../fleet/record.js';
import type { RestoreDatabaseRequest } from '../fleet/requests.js';
import { ageText, lossOf, lossText, replaceDanger, type StandingProcess } from '../fleet/restore.js';
import type { RestorePlace } from '../fleet/restorePlace.js';
import { control, FOR_DATA, local, onHost } from './engine/activityOptions.js';
import { failureKind, refusal } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';
import { breakLease, fenceOverNetwork } from './promotionFencing.js';
import { chooseBackup, discardFetched, fetchBackup } from './restoreFetch.js';
import { lookAtStanding } from './restoreLook.js';
import { CLAIM, LOOK, RELEASE, REPLACE, TIDY } from './restoreOutline.js';
import { putBack } from './restorePutBack.js';
import type { RestoredDatabase } from './restoreResult.js';
import { publish, runFromBackup } from './restoreRun.js';

const CLAIM_TRIES = 10;
const CLAIM_AGAIN_MS = 3_000;

export interface InPlace extends RestorePlace {
  readonly record: DatabaseRecord;
}

export async function restoreInPlace(
  runbook: Runbook,
  place: InPlace,
  of: BackupsOf,
  { from }: RestoreDatabaseRequest,
): Promise<RestoredDatabase> {
  const { database, leader, follower, record } = place;
  const found = await lookBefore(runbook, place);
  await runbook.step({
    ...CLAIM,
    preflight: true,
    undo: { does: 'Releases the database.', always: true, run: () => release(database) },
    run: () => claimPatiently(record, found),
  });
  runbook.guard(() => local().confirmOwnership({ databases: [database] }));

  const choice = await chooseBackup(runbook, of, leader.host, from);
  const fetched = await fetchBackup(runbook, of, choice, place);
  const { backup } = fetched;
  const loss = lossOf(backup, found, Date.now());
  runbook.note(`Backup ${backup.id}: ${ageText(backup, loss)}; ${lossText(loss)}.`);

  /** As it was when it was first stopped. */
  let before: readonly StandingProcess[] | null = null;
  await runbook.step({
    ...REPLACE,
    approval: { danger: replaceDanger(database, backup, found, loss) },
    undo: {
      does: 'Puts the data back that was there, and starts again what ran.',
      run: async () => {
        if (before !== null) await putBack(place, before);
      },
    },
    run: async () => {
      // From now on a watch that misses the leader must promote nobody.
      await claim(database, 'urgent');
      before ??= await lookAndRequireAgent(place);
      for (const process of before) await stop(database, process, record.leader);
    },
  });

  const pair = await runFromBackup(runbook, place, fetched);
  await publish(runbook, database, record.epoch, pair);
  if (pair.follower === null)
    runbook.note(`${database} has no follower now; bring one up: redis-fleet bring-up ${database}`);

  await runbook.step({
    ...TIDY,
    skip: { means: 'The data that was replaced stays on the hosts, beside the new.', value: undefined },
    run: async () => {
      await discardFetched(database, leader, follower);
      const gone = (before ?? []).filter(({ agent }) => !agent).map(({ endpoint }) => endpoint.host);
      const all = [leader, follower, ...(before ?? []).map(({ endpoint }) => endpoint)];
      const hosts = new Set(
        all.flatMap((one) => (one === null || gone.includes(one.host) ? [] : [one.host])),
      );
      for (const host of hosts)
        await onHost(host, 'remove the old data').forgetPreviousDataFile({ database });
    },
  });
  await runbook.step({ ...RELEASE, run: () => release(database) });
  return {
    dryRun: false,
    database,
    source: of.database,
    ...pair,
    epoch: record.epoch + 1,
    backup: backup.id,
    takenAt: backup.takenAt,
    keys: backup.keys,
    passedOver: [...choice.passedOver, ...fetched.damaged],
    loss,
  };
}

/** @returns what is there; a leader's host that cannot be reached refuses the restore before anything is changed */
export async function lookBefore(runbook: Runbook, place: InPlace): Promise<readonly StandingProcess[]> {
  return runbook.step({ ...LOOK, preflight: true, run: () => lookAndRequireAgent(place) });
}

async function lookAndRequireAgent({
  database,
  leader,
  record,
}: InPlace): Promise<readonly StandingProcess[]> {
  const seen = await lookAtStanding(record);
  const target = seen.find(({ endpoint }) => sameEndpoint(endpoint, leader));
  if (target?.agent !== false) return seen;
  const other = seen.find(({ agent }) => agent)?.endpoint.host;
  throw refusal(
    'Unreachable',
    `The agent of ${leader.host}, where the restored ${database} shall lead, does not answer. Nothing was changed. ` +
      `Start it: redis-fleet agent --host ${leader.host}` +
      (other === undefined
        ? `; or restore it as a new database on another server: redis-fleet restore ${database} --into ${database}-restored --server …`
        : `; or let ${other} lead: redis-fleet restore ${database} --host ${other}`),
  );
}

async function stop(
  database: string,
  { endpoint, agent, facts, state }: StandingProcess,
  leader: Endpoint,
): Promise<void> {
  if (agent) {
    // A process that does not answer cannot be asked to save; its older file is what there is of it.
    const save = state === 'running' && facts !== null && !facts.loading;
    await onHost(endpoint.host, `stop ${database} on ${endpoint.host}`, FOR_DATA).stopProcess({
      database,
      save,
    });
  } else if (sameEndpoint(endpoint, leader)) {
    await fenceFromAfar(database, endpoint);
  } else if (facts !== null) {
    // It goes on without its agent, following nobody: its data is left to it.
    await control(`let go of ${endpoint.host}`).detach({ follower: endpoint });
  }
}

/** The old leader's host is out of reach of its agent's queue: by command, or by its lease. */
async function fenceFromAfar(database: string, endpoint: Endpoint): Promise<void> {
  try {
    await fenceOverNetwork(database, endpoint);
  } catch (error) {
    if (failureKind(error) !== 'NotFenced') throw error;
    await breakLease(endpoint.host, `${database} is restored on another host`);
  }
}

/**
 * Where a leader and its follower were lost a moment ago, a promotion may still be looking for somebody to promote. One
 * that comes later would find nobody, and must not take the database from the one who brings its data back.
 */
async function claimPatiently(
  { database, epoch }: DatabaseRecord,
  seen: readonly StandingProcess[],
): Promise<void> {
  const lost = seen.every(({ facts }) => facts === null);
  for (let tries = 1; ; tries++) {
    try {
      const now = await claim(database, lost ? 'urgent' : 'planned');
      if (now?.epoch === epoch) return;
      throw refusal(
        'RecordChanged',
        `Database ${database} got another leader while this restore began. Nothing was changed. Look with \`redis-fleet status\`, and start it again if its data is still to be replaced.`,
      );
    } catch (error) {
      if (failureKind(error) !== 'DatabaseOwned' || tries >= CLAIM_TRIES) throw error;
      await sleep(CLAIM_AGAIN_MS);
    }
  }
}

async function claim(database: string, urgency: 'planned' | 'urgent'): Promise<DatabaseRecord | undefined> {
  const [record] = await control(`claim ${database}`).claimDatabases({ databases: [database], urgency });
  return record;
}

async function release(database: string): Promise<void> {
  await control(`release ${database}`).releaseDatabases({ databases: [database] });
}
