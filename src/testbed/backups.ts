/** Backups of a fleet for once, made one by one: of the follower, stored and verified as the real ones are. */

import path from 'node:path';
import { inventory } from '../backups/inventory.js';
import { NO_KEYS, type Keyring } from '../backups/keyring.js';
import { storeBackup } from '../backups/storeBackup.js';
import { directoryStore } from '../backups/store/directory.js';
import type { BackupStore } from '../backups/store/store.js';
import { recordVerdict, verifyBackup } from '../backups/verifyBackup.js';
import { backupId, type BackupInStore } from '../fleet/backup.js';
import type { BackupManifest } from '../fleet/backupManifest.js';
import type { Endpoint } from '../fleet/record.js';
import type { TestFleet } from './fleet.js';

/** What `file:backups` of a fleet file means there. */
export function backupFolder(fleet: TestFleet): string {
  return path.join(fleet.dev.data.root, 'backups');
}

export function backupStoreOf(fleet: TestFleet): BackupStore {
  return directoryStore(backupFolder(fleet));
}

export interface MadeBackup {
  readonly id: string;
  readonly manifest: BackupManifest;
  /** Its data, as a file that a test can damage. */
  readonly data: string;
  readonly manifestFile: string;
}

export interface BackupOptions {
  /** Default true. */
  readonly verified?: boolean;
  readonly keyring?: Keyring;
  /** Default: the follower of the record. */
  readonly of?: Endpoint;
}

/** BGSAVE on the follower, and the file into the store. */
export async function makeBackup(
  fleet: TestFleet,
  database: string,
  { verified = true, keyring = NO_KEYS, of }: BackupOptions = {},
): Promise<MadeBackup> {
  const store = backupStoreOf(fleet);
  const from = of ?? (await fleet.follower(database));
  const started = new Date().toISOString();
  const file = await fleet.save(database, from);
  const saved = new Date().toISOString();
  const { epoch } = await fleet.record(database);
  const ref = { fleet: fleet.dev.fleet.name, database, id: backupId(saved, epoch) };
  const { manifest } = await storeBackup(
    store,
    {
      ...ref,
      file,
      epoch,
      times: { started, taken: saved, saved },
      from: { host: from.host, port: from.port },
    },
    { compression: { level: 3 }, recipients: keyring.recipients, bytesPerSecond: null },
  );
  if (verified) {
    await recordVerdict(store, ref, await verifyBackup(store, ref, { keyring }), new Date().toISOString());
  }
  const folder = backupFolder(fleet);
  return {
    id: ref.id,
    manifest,
    data: path.join(folder, manifest.stored.key),
    manifestFile: path.join(folder, ref.fleet, database, `${ref.id}.json`),
  };
}

/** Newest first. */
export async function backupsOf(fleet: TestFleet, database: string): Promise<readonly BackupInStore[]> {
  return (await inventory(backupStoreOf(fleet), fleet.dev.fleet.name, database)).backups;
}
