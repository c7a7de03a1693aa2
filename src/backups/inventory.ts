/** What is in a store, and taking things out of it. */

import {
  abandoned,
  backupPrefix,
  listBackups,
  objectsOf,
  type BackupInStore,
  type BackupListing,
} from '../fleet/backup.js';
import type { StoredObject } from '../fleet/backup.js';
import type { BackupStore } from './store/store.js';

/** @param database null: of all databases of the fleet */
export async function inventory(
  store: BackupStore,
  fleet: string,
  database: string | null,
): Promise<BackupListing> {
  const objects: StoredObject[] = [];
  const prefix = database === null ? `${fleet}/` : backupPrefix(fleet, database);
  for await (const object of store.list(prefix)) objects.push(object);
  return listBackups(objects);
}

/** Its manifest goes before its data: at no moment is it half there. */
export async function removeBackup(store: BackupStore, backup: BackupInStore): Promise<void> {
  for (const key of objectsOf(backup)) await store.remove(key);
}

/**
 * Removes what attempts left that were broken off more than `olderThanMs` ago: unfinished uploads, and data that never
 * got its manifest. @returns how many objects
 */
export async function sweepLeftovers(
  store: BackupStore,
  fleet: string,
  database: string,
  { olderThanMs, now }: { readonly olderThanMs: number; readonly now: number },
): Promise<number> {
  const unfinished = await store.sweepUnfinished(backupPrefix(fleet, database), olderThanMs);
  const { backups } = await inventory(store, fleet, database);
  const left = abandoned(backups, new Date(now - olderThanMs).toISOString());
  for (const { key } of left) await store.remove(key);
  return unfinished + left.length;
}
