/**
 * Backups that are proven: every follower is backed up, a byte that flips in the store is found, and a database whose two
 * copies are destroyed comes back from the newest backup that is sound.
 */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { NO_KEYS } from '../../backups/keyring.js';
import { verifyBackup } from '../../backups/verifyBackup.js';
import type { FleetConnection } from '../../client/index.js';
import { startRunbook } from '../../connections/startRunbook.js';
import { verdictText } from '../../fleet/backupVerdict.js';
import { FleetError } from '../../fleet/errors.js';
import { ageText, lossText } from '../../fleet/restore.js';
import type { BackupOutcome } from '../../activities/backupContract.js';
import { processFiles } from '../../host/layout.js';
import { backupFolder, backupsOf, backupStoreOf } from '../../testbed/backups.js';
import type { TestFleet } from '../../testbed/fleet.js';
import { forksBetween, leaderForks } from '../../testbed/forks.js';
import { waitFor } from '../../testbed/waiting.js';
import { Writer } from '../../testbed/writer.js';
import type { Sweep } from '../../workflows/backupSweep.js';
import { REPLACE } from '../../workflows/restoreOutline.js';
import type { RestoredDatabase } from '../../workflows/restoreResult.js';
import type { Progress } from '../progress.js';
import { endsWell } from '../runbooks.js';
import { killProcess } from './followerDies.js';

export interface BothCopiesLost {
  readonly database: string;
  /** Databases with a new verified backup. */
  readonly verified: number;
  readonly sweepSeconds: number;
  /** Bytes: of the files that Redis saved, and of what lies in the store. */
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** Of leaders, while all were backed up. */
  readonly forks: number;
  /** What the check said of the backup that was damaged; null: it found nothing. */
  readonly damage: string | null;
  /** What the restore said that it passed over, and how old the data is. */
  readonly passedOver: readonly string[];
  readonly told: string;
  /** Written before the backup that was restored, and not there afterwards. */
  readonly missing: number;
  readonly acknowledged: number;
  /** Acknowledged after that backup: nobody can bring these back. */
  readonly tooLate: number;
  /** From the start of the restore until leader and follower serve. */
  readonly restoreSeconds: number;
}

const WRITES = 300;

export async function bothCopiesLost(
  fleet: TestFleet,
  connection: FleetConnection,
  database: string,
  progress: Progress,
): Promise<BothCopiesLost> {
  const early = await written(fleet, connection, database);
  const before = await leaderForks(fleet);
  const begun = performance.now();
  const swept = await progress.step('back up every database from its follower: one sweep for each host', () =>
    sweepAll(fleet, progress),
  );
  const sweepSeconds = (performance.now() - begun) / 1000;
  const { forks } = forksBetween(before, await leaderForks(fleet));

  const late = await written(fleet, connection, database);
  const damaged = await progress.step(
    `back up ${database} once more, and flip one byte of it in the store`,
    () => damagedBackup(fleet, database, progress),
  );
  const damage = await progress.step(`check that backup: redis-fleet backups verify ${database}`, () =>
    damageOf(fleet, database, damaged),
  );

  await progress.step(
    `destroy both copies of ${database}: kill -9, and all files removed, on both hosts`,
    () => destroy(fleet, database),
  );
  const restoring = performance.now();
  const restored = await progress.step(`restore ${database} from the newest backup that is sound`, () =>
    restore(fleet, database, progress),
  );
  const restoreSeconds = (performance.now() - restoring) / 1000;
  await waitFor(async () => (await fleet.record(database)).follower !== null, {
    deadlineMs: 30_000,
    what: `the follower of ${database}`,
  });
  const { acknowledged, lost } = await early.verify(await fleet.leader(database), fleet.application);
  const verified = swept.filter(({ how }) => how === 'verified');
  return {
    database,
    verified: verified.length,
    sweepSeconds,
    plainBytes: sum(verified.map((one) => (one.how === 'verified' ? one.plainBytes : 0))),
    storedBytes: sum(verified.map((one) => (one.how === 'verified' ? one.storedBytes : 0))),
    forks,
    damage,
    passedOver: restored.passedOver,
    told: `${ageText(restored, restored.loss)}; ${lossText(restored.loss)}`,
    missing: lost,
    acknowledged,
    tooLate: late.counts.acknowledged,
    restoreSeconds,
  };
}

/** A writer that has stopped: what it wrote can be looked for. */
async function written(fleet: TestFleet, connection: FleetConnection, database: string): Promise<Writer> {
  const { application } = fleet;
  const open = () => connection.redis(database, { ...application, onInterrupted: 'retry' });
  const writer = Writer.start({ ...application, open, rate: 1_000 });
  try {
    await waitFor(() => writer.counts.acknowledged >= WRITES, {
      deadlineMs: 30_000,
      what: `acknowledged writes to ${database}`,
    });
  } finally {
    await writer.stop();
  }
  return writer;
}

async function sweepAll(fleet: TestFleet, progress: Progress): Promise<Sweep['databases'][number][]> {
  const followers = await Promise.all(fleet.databases.map((database) => fleet.follower(database)));
  const swept: Sweep['databases'][number][] = [];
  for (const host of [...new Set(followers.map((follower) => follower.host))].toSorted()) {
    const subject = { fleet: fleet.dev.fleet.name, hosts: [host] };
    const started = await startRunbook(fleet.dev.temporal, 'backupSweep', host, { host }, subject);
    const { result } = await endsWell(fleet, started, progress);
    swept.push(...(result as Sweep).databases);
  }
  return swept;
}

/** @returns its id */
async function damagedBackup(fleet: TestFleet, database: string, progress: Progress): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name, databases: [database] };
  const started = await startRunbook(fleet.dev.temporal, 'backupDatabase', database, { database }, subject);
  const { result } = await endsWell(fleet, started, progress);
  const outcome = result as BackupOutcome;
  if (outcome.how !== 'verified')
    throw new FleetError('FollowerUnfit', `${database} was not backed up: ${outcome.why}`);
  const backup = (await backupsOf(fleet, database)).find(({ id }) => id === outcome.id);
  const [data] = backup?.data ?? [];
  if (data === undefined)
    throw new FleetError('NotFound', `The data of backup ${outcome.id} of ${database} is not in the store.`);
  const file = path.join(backupFolder(fleet), data.key);
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  return outcome.id;
}

async function damageOf(fleet: TestFleet, database: string, id: string): Promise<string | null> {
  const ref = { fleet: fleet.dev.fleet.name, database, id };
  const verdict = await verifyBackup(backupStoreOf(fleet), ref, { keyring: NO_KEYS });
  return verdict.kind === 'sound' ? null : verdictText(ref, verdict);
}

async function destroy(fleet: TestFleet, database: string): Promise<void> {
  // The follower first: a leader that is gone would be replaced by it, and this is about the case in which it cannot.
  for (const where of [await fleet.follower(database), await fleet.leader(database)]) {
    await killProcess(fleet, database, where);
    rmSync(processFiles(fleet.dev.data.host(where.host), database).directory, { recursive: true });
  }
}

async function restore(fleet: TestFleet, database: string, progress: Progress): Promise<RestoredDatabase> {
  // The watch may be finding out that there is nobody to promote.
  await waitFor(async () => (await fleet.record(database)).operation === undefined, {
    deadlineMs: 60_000,
    what: `${database} to be free`,
  });
  const by = { by: 'the demo', reason: 'both copies are lost' };
  const request = { database, approved: { [REPLACE.name]: by } };
  const subject = { fleet: fleet.dev.fleet.name, databases: [database] };
  const started = await startRunbook(fleet.dev.temporal, 'restoreDatabase', database, request, subject);
  const { result } = await endsWell(fleet, started, progress);
  return result as RestoredDatabase;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
