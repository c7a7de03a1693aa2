/** How a program comes to the store of its fleet and to the keys. Opened when needed: an agent serves without them. */

import { openStore } from './store/openStore.js';
import type { BackupStore } from './store/store.js';
import { readKeyring, type Keyring } from './keyring.js';

const DEFAULT_BASE = '/var/lib/redis-fleet';

export interface BackupAccess {
  /** @param url `backups.store` of the fleet file. @throws InvalidRequest */
  readonly withStore: <T>(url: string, use: (store: BackupStore) => Promise<T>) => Promise<T>;
  /** @throws WrongCredentials, InvalidRequest */
  readonly keyring: () => Promise<Keyring>;
}

/** @param env REDIS_FLEET_BACKUP_ROOT: what a store that is a relative directory lies in, the same for all programs */
export function backupAccess(env: NodeJS.ProcessEnv): BackupAccess {
  return {
    async withStore(url, use) {
      const store = await openStore(url, {
        base: env['REDIS_FLEET_BACKUP_ROOT'] ?? DEFAULT_BASE,
      });
      try {
        return await use(store);
      } finally {
        store.close();
      }
    },
    keyring: () => readKeyring(env),
  };
}
