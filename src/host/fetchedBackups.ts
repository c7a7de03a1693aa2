/** Backups that were brought to this host for a restore: in a folder of their own, beside the processes' directories. */

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { BackupAccess } from '../backups/access.js';
import { inventory } from '../backups/inventory.js';
import { openRdb } from '../backups/rdbSource.js';
import { readThrough } from '../backups/readThrough.js';
import { DamagedBackup, restoreFile } from '../backups/restoreFile.js';
import { getText } from '../backups/store/smallObjects.js';
import type { BackupStore } from '../backups/store/store.js';
import { recordVerdict } from '../backups/verifyBackup.js';
import { isVerified, proofKey, type BackupInStore } from '../fleet/backup.js';
import { isProvenBad, type BackupRef, type BackupVerdict } from '../fleet/backupVerdict.js';
import { parseManifest, type BackupManifest } from '../fleet/backupManifest.js';
import type { StoredBackup } from '../fleet/bringUp.js';
import { FleetError } from '../fleet/errors.js';
import { nameProblem } from '../fleet/nameRule.js';
import type { BackupsOf, Fetched } from '../activities/restoreContract.js';
import { asDiskError } from './diskErrors.js';

/** Not a name that a database could have. */
const FOLDER = '.fetched';
/** A listing goes into a history. */
const MOST_LISTED = 200;

export interface FetchedBackups {
  list(of: BackupsOf): Promise<readonly BackupInStore[]>;
  /** One whose manifest is damaged is left out. */
  verified(of: BackupsOf, most: number): Promise<readonly StoredBackup[]>;
  fetch(
    of: BackupsOf & { readonly id: string; readonly into: string },
    signal?: AbortSignal,
  ): Promise<Fetched>;
  discard(into: string): Promise<void>;
}

/**
 * @param data the directory that holds the processes' directories
 * @param redisCheckRdb the program
 */
export function fetchedBackups(data: string, access: BackupAccess, redisCheckRdb: string): FetchedBackups {
  function folderOf(into: string): string {
    const problem = nameProblem(into);
    if (problem !== null) throw new FleetError('InvalidRequest', `into: ${problem}`);
    return path.join(path.resolve(data), FOLDER, into);
  }

  return {
    async list({ store: url, fleet, database }) {
      const { backups } = await access.withStore(url, (store) => inventory(store, fleet, database));
      return backups.filter((backup) => backup.database === database).slice(0, MOST_LISTED);
    },

    async verified({ store: url, fleet, database }, most) {
      return access.withStore(url, async (store) => {
        const { backups } = await inventory(store, fleet, database);
        const newest = backups.filter((backup) => backup.database === database && isVerified(backup));
        const found = await Promise.all(newest.slice(0, most).map((backup) => describe(store, backup)));
        return found.filter((one) => one !== null);
      });
    },

    async fetch({ store: url, fleet, database, id, into }, signal) {
      const folder = folderOf(into);
      const ref: BackupRef = { fleet, database, id };
      try {
        await mkdir(folder, { recursive: true, mode: 0o750 });
      } catch (error) {
        throw asDiskError(error, folder, 'make a directory', 'Nothing was changed.');
      }
      const file = path.join(folder, `${id}.rdb`);
      const keyring = await access.keyring();
      return access.withStore(url, async (store): Promise<Fetched> => {
        try {
          const options = { keyring, ...(signal === undefined ? {} : { signal }) };
          const manifest = await restoreFile(store, ref, file, options);
          const keys = await countedKeys(store, ref, file, manifest, redisCheckRdb, signal);
          return { sound: true, backup: fetchedOf(manifest, file, keys) };
        } catch (error) {
          if (!(error instanceof DamagedBackup)) throw error;
          await rm(file, { force: true });
          await noteVerdict(store, ref, error.damage);
          return { sound: false, why: error.message };
        }
      });
    },

    async discard(into) {
      await rm(folderOf(into), { recursive: true, force: true });
    },
  };
}

/** What was checked before is what lies there now, to the byte. What nobody checked is checked here. */
async function countedKeys(
  store: BackupStore,
  ref: BackupRef,
  file: string,
  { plain, stored }: BackupManifest,
  redisCheckRdb: string,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  const { backups } = await inventory(store, ref.fleet, ref.database);
  const known = backups.find(({ id }) => id === ref.id);
  if (known !== undefined && isVerified(known)) return keysOfProof(store, ref);
  const source = await openRdb(file);
  const read = await readThrough(source.pieces(signal), redisCheckRdb, signal).finally(() => source.close());
  if (!read.ok) throw new DamagedBackup(ref, { kind: 'not loadable', why: read.why });
  const verdict: BackupVerdict = {
    kind: 'sound',
    keys: read.keys,
    plainBytes: plain.bytes,
    storedBytes: stored.bytes,
    storedSha256: stored.sha256,
  };
  await noteVerdict(store, ref, verdict);
  return read.keys;
}

async function describe(store: BackupStore, { manifest, id }: BackupInStore): Promise<StoredBackup | null> {
  try {
    const key = manifest?.key ?? '';
    const { plain, times, position } = parseManifest(await getText(store, key), key);
    return { id, takenAt: times.taken, bytes: plain.bytes, position };
  } catch (error) {
    if (error instanceof FleetError && (error.kind === 'InvalidRecord' || error.kind === 'NotFound'))
      return null;
    throw error;
  }
}

/** As its last check counted them; null: nobody did. */
export async function keysOfProof(
  store: BackupStore,
  { fleet, database, id }: BackupRef,
): Promise<number | null> {
  try {
    const proof: unknown = JSON.parse(await getText(store, proofKey(fleet, database, id, 'sound')));
    const keys: unknown = typeof proof === 'object' && proof !== null ? Reflect.get(proof, 'keys') : null;
    return typeof keys === 'number' && Number.isSafeInteger(keys) ? keys : null;
  } catch (error) {
    // It only makes what is said more precise.
    if (error instanceof SyntaxError || (error instanceof FleetError && error.kind === 'NotFound'))
      return null;
    throw error;
  }
}

/** So that nobody takes it, or checks it, again. A store that may only be read is no obstacle. */
export async function noteVerdict(store: BackupStore, ref: BackupRef, verdict: BackupVerdict): Promise<void> {
  if (verdict.kind !== 'sound' && !isProvenBad(verdict)) return;
  await recordVerdict(store, ref, verdict, new Date().toISOString()).catch(() => undefined);
}

function fetchedOf(
  { id, epoch, times, position, plain, redisVersion }: BackupManifest,
  file: string,
  keys: number | null,
): Extract<Fetched, { sound: true }>['backup'] {
  return { id, file, takenAt: times.taken, epoch, position, bytes: plain.bytes, keys, redisVersion };
}
