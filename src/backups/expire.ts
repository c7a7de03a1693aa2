/** Which backups of a database the rule lets go, and removing them. */

import { isVerified, type BackupInStore } from '../fleet/backup.js';
import { retain, type Retention, type RetentionRule } from '../fleet/backupRetention.js';
import { inventory, removeBackup } from './inventory.js';
import type { BackupStore } from './store/store.js';

export interface Expiry {
  readonly retention: Retention;
  /** Oldest first; never the last two verified ones. */
  readonly expired: readonly BackupInStore[];
}

/** What would go, of one database. Without a manifest it is no backup, but what an attempt left, or is at work on. */
export function expiryOf(backups: readonly BackupInStore[], rule: RetentionRule): Expiry {
  const complete = backups.filter(({ manifest }) => manifest !== null);
  const retention = retain(
    complete.map((backup) => ({
      id: backup.id,
      takenAt: backup.takenAt,
      verified: isVerified(backup),
    })),
    rule,
  );
  const expired = retention.expired.flatMap((id) => complete.find((backup) => backup.id === id) ?? []);
  return { retention, expired };
}

/** @returns how many */
export async function removeExpired(
  store: BackupStore,
  fleet: string,
  database: string,
  rule: RetentionRule,
): Promise<number> {
  const { backups } = await inventory(store, fleet, database);
  const { expired } = expiryOf(backups, rule);
  for (const backup of expired) await removeBackup(store, backup);
  return expired.length;
}
