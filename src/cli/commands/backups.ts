/** `redis-fleet backups list|show|verify|expire`: what is in the store. */

import { backupAccess } from '../../backups/access.js';
import { expiryOf } from '../../backups/expire.js';
import { inventory, removeBackup } from '../../backups/inventory.js';
import { getText } from '../../backups/store/smallObjects.js';
import type { BackupStore } from '../../backups/store/store.js';
import { recordVerdict, verifyBackup } from '../../backups/verifyBackup.js';
import { isVerified, newestVerified, type BackupInStore } from '../../fleet/backup.js';
import { parseManifest } from '../../fleet/backupManifest.js';
import type { BackupRecord } from '../../fleet/backupRecord.js';
import { drillText, type DrillRecord } from '../../fleet/drills.js';
import { verdictText } from '../../fleet/backupVerdict.js';
import { FleetError } from '../../fleet/errors.js';
import type { Fleet } from '../../fleet/fleet.js';
import { freshnessOf, overdueText } from '../../fleet/freshness.js';
import { showAge, showSize } from '../../fleet/quantities.js';
import { redisCheckRdbProgram } from '../../host/settings.js';
import { withConsul } from '../connect.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { table } from '../table.js';

export interface BackupsOptions {
  readonly file?: string;
  readonly json?: boolean;
}

export interface ExpireOptions extends BackupsOptions {
  readonly confirm?: boolean;
}

interface Known {
  readonly fleet: Fleet;
  readonly store: BackupStore;
  /** The last verified ones, as Consul has them. */
  readonly last: readonly BackupRecord[];
  /** The last of each database. */
  readonly drills: readonly DrillRecord[];
}

/** Exit code 1 when a database is beyond its deadline, or has none. */
export async function listBackupsCommand(
  context: CliContext,
  database: string | undefined,
  { file, json = false }: BackupsOptions,
): Promise<ExitCode> {
  return withStore(context, file, async ({ fleet, store, last }) => {
    const wanted = namesOf(fleet, database);
    const { backups, strangers } = await inventory(store, fleet.name, database ?? null);
    const now = Date.now();
    const databases = wanted.map((name) => {
      const record = last.find((one) => one.database === name) ?? null;
      const fresh = freshnessOf(name, record?.at ?? null, fleet.backups, now);
      const own = backups.filter((backup) => backup.database === name);
      return { ...fresh, backups: own.map(summaryOf) };
    });
    const others = [...new Set(backups.map((backup) => backup.database))].filter(
      (name) => !wanted.includes(name),
    );
    const late = databases.filter(({ overdue }) => overdue);
    if (json) {
      printJson(context, { fleet: fleet.name, store: store.name, databases, others, strangers });
    } else {
      printLine(context, `Backups of fleet ${fleet.name} in ${store.name}\n`);
      const rows = databases.flatMap((one) => listRows(one, now));
      printLine(
        context,
        table(['database', 'backup', 'taken', 'stored', 'state'], rows, { lines: context.isTerminal }),
      );
      for (const one of late) printLine(context, overdueText(one, fleet.backups));
      for (const name of others)
        printLine(context, `There are backups of ${name}, which is not in the fleet.`);
      for (const key of strangers) printLine(context, `${key} is nothing that redis-fleet stored.`);
    }
    return late.length === 0 ? WELL : NOT_WELL;
  });
}

export async function showBackupCommand(
  context: CliContext,
  database: string,
  id: string | undefined,
  { file, json = false }: BackupsOptions,
): Promise<ExitCode> {
  return withStore(context, file, async ({ fleet, store, drills }) => {
    const { backups } = await inventory(store, fleet.name, database);
    const backup = chosen(backups, database, id, newestVerified(backups, database));
    const drill = drills.find((one) => one.database === database) ?? null;
    const manifest =
      backup.manifest === null
        ? null
        : parseManifest(await getText(store, backup.manifest.key), backup.manifest.key);
    const [proof] = backup.proofs;
    const check: unknown = proof === undefined ? null : JSON.parse(await getText(store, proof.key));
    if (json) printJson(context, { ...summaryOf(backup), database, manifest, check, drill });
    else {
      const { state, takenAt } = summaryOf(backup);
      printLine(context, `Backup ${backup.id} of ${database}: ${state}, as of ${takenAt}, in ${store.name}`);
      if (manifest !== null) printLine(context, JSON.stringify(manifest, null, 2));
      if (check !== null) printLine(context, `Last check: ${JSON.stringify(check)}`);
      printLine(context, drillText(database, drill));
    }
    return isVerified(backup) ? WELL : NOT_WELL;
  });
}

/** Exit code 1 unless it is sound. */
export async function verifyBackupCommand(
  context: CliContext,
  database: string,
  id: string | undefined,
  { file, json = false }: BackupsOptions,
): Promise<ExitCode> {
  const access = backupAccess(context.env);
  return withStore(context, file, async ({ fleet, store }) => {
    const { backups } = await inventory(store, fleet.name, database);
    const newest = backups.find(({ manifest }) => manifest !== null) ?? backups[0] ?? null;
    const ref = {
      fleet: fleet.name,
      database,
      id: id ?? chosen(backups, database, undefined, newest).id,
    };
    const verdict = await verifyBackup(store, ref, {
      keyring: await access.keyring(),
      signal: context.interruption(),
      redisCheckRdb: redisCheckRdbProgram(context.env),
    });
    await recordVerdict(store, ref, verdict, new Date().toISOString());
    const text = verdictText(ref, verdict);
    if (json) printJson(context, { database, id: ref.id, sound: verdict.kind === 'sound', verdict, text });
    else printLine(context, text);
    return verdict.kind === 'sound' ? WELL : NOT_WELL;
  });
}

export async function expireBackupsCommand(
  context: CliContext,
  database: string | undefined,
  { file, json = false, confirm = false }: ExpireOptions,
): Promise<ExitCode> {
  return withStore(context, file, async ({ fleet, store }) => {
    const { backups } = await inventory(store, fleet.name, database ?? null);
    const names = database === undefined ? [...new Set(backups.map((one) => one.database))] : [database];
    const found = names.toSorted().map((name) => {
      const own = backups.filter((backup) => backup.database === name);
      return { database: name, ...expiryOf(own, fleet.backups.keep) };
    });
    const expired = found.flatMap((one) => one.expired);
    if (confirm) for (const backup of expired) await removeBackup(store, backup);
    if (json) {
      const databases = found.map(({ database: name, retention, expired: gone }) => ({
        database: name,
        kept: retention.kept,
        expired: gone.map(summaryOf),
      }));
      printJson(context, { fleet: fleet.name, store: store.name, deleted: confirm, databases });
      return WELL;
    }
    for (const backup of expired) {
      printLine(
        context,
        `${confirm ? 'deleted' : 'would go'}  ${backup.database}  ${backup.id}  ${sizeOf(backup)}`,
      );
    }
    const kept = found.reduce((sum, { retention }) => sum + retention.kept.length, 0);
    const { hourly, daily, weekly } = fleet.backups.keep;
    const rule = `keep: ${String(hourly)} hourly, ${String(daily)} daily, ${String(weekly)} weekly`;
    printLine(
      context,
      expired.length === 0
        ? `Nothing has expired: all ${String(kept)} backups are kept (${rule}).`
        : confirm
          ? `${String(expired.length)} backups were deleted, ${String(kept)} are kept (${rule}).`
          : `${String(expired.length)} backups have expired, ${String(kept)} are kept (${rule}). Nothing was deleted; delete ` +
            'them with: redis-fleet backups expire --confirm',
    );
    return WELL;
  });
}

async function withStore(
  context: CliContext,
  file: string | undefined,
  use: (known: Known) => Promise<ExitCode>,
): Promise<ExitCode> {
  const inFile = await fleetOfFile(context, undefined, file);
  const { fleet, last, drills } = await withConsul(context, async (consul) => {
    const [{ backupRecordStore }, { drillStore }] = await Promise.all([
      import('../../records/backups.js'),
      import('../../records/drills.js'),
    ]);
    return {
      drills: await drillStore(consul, inFile.name).list(),
      fleet: requireApplied(await readKnownFleet(consul, inFile.name), inFile.name),
      last: await backupRecordStore(consul, inFile.name).list(),
    };
  });
  return backupAccess(context.env).withStore(fleet.backups.store, (store) =>
    use({ fleet, store, last, drills }),
  );
}

function namesOf(fleet: Fleet, database: string | undefined): readonly string[] {
  const names = fleet.databases.map(({ name }) => name);
  if (database === undefined) return names;
  return [database];
}

function chosen(
  backups: readonly BackupInStore[],
  database: string,
  id: string | undefined,
  otherwise: BackupInStore | null,
): BackupInStore {
  const found = id === undefined ? otherwise : (backups.find((backup) => backup.id === id) ?? null);
  if (found !== null) return found;
  throw new FleetError(
    'NotFound',
    id === undefined
      ? `There is no ${backups.length === 0 ? '' : 'verified '}backup of ${database}. Take one: redis-fleet backups take ${database}`
      : `There is no backup ${id} of ${database}. See what there is: redis-fleet backups list ${database}`,
  );
}

type State = 'verified' | 'unsound' | 'not checked' | 'incomplete';

interface Summary {
  readonly id: string;
  readonly takenAt: string;
  readonly epoch: number;
  readonly state: State;
  /** Bytes in the store. */
  readonly bytes: number;
}

function summaryOf(backup: BackupInStore): Summary {
  const { id, takenAt, epoch, manifest, data, proof } = backup;
  const state: State =
    manifest === null || data.length === 0
      ? 'incomplete'
      : proof === 'sound'
        ? 'verified'
        : proof === 'unsound'
          ? 'unsound'
          : 'not checked';
  return { id, takenAt, epoch, state, bytes: data.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function sizeOf(backup: BackupInStore): string {
  return showSize(summaryOf(backup).bytes);
}

function listRows(
  { database, backups }: { readonly database: string; readonly backups: readonly Summary[] },
  now: number,
): string[][] {
  if (backups.length === 0) return [[database, 'none', '', '', '']];
  return backups.map(({ id, takenAt, bytes, state }) => [
    database,
    id,
    `${showAge(now - Date.parse(takenAt))} ago`,
    showSize(bytes),
    state,
  ]);
}
