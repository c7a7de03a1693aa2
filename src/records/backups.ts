/** The last verified backups: `redis-fleet/<fleet>/backups/<database>`. */

import type { FleetConsul } from '../connections/consul.js';
import { isNewerBackup, parseBackupRecord } from '../fleet/backupRecord.js';
import type { BackupRecord } from '../fleet/backupRecord.js';
import { FleetError } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import { ABSENT, compareAndSet, listEntries, readEntry } from './kv.js';

export interface BackupRecordStore {
  /** One that is unreadable is left out: it counts as none. @throws FleetError Unreachable */
  list(): Promise<readonly BackupRecord[]>;
  /** Never stale. null: none, or unreadable. @throws FleetError Unreachable */
  read(database: string): Promise<BackupRecord | null>;
  /** Writes it unless a newer one is known. @throws FleetError Unreachable */
  advance(record: BackupRecord): Promise<void>;
}

export function backupRecordStore(consul: FleetConsul, fleet: string): BackupRecordStore {
  const keys = consulKeys(fleet);

  async function stored(
    database: string,
  ): Promise<{ readonly record: BackupRecord | null; readonly modifyIndex: number }> {
    const entry = await readEntry(consul, keys.backup(database), { consistent: true });
    if (entry === null) return { record: null, modifyIndex: ABSENT };
    return { record: orNull(entry.text, entry.key, database), modifyIndex: entry.modifyIndex };
  }

  return {
    async list() {
      const prefix = keys.backup('');
      return (await listEntries(consul, prefix)).flatMap(
        ({ key, text }) => orNull(text, key, key.slice(prefix.length)) ?? [],
      );
    },
    read: async (database) => (await stored(database)).record,
    async advance(record) {
      for (;;) {
        const known = await stored(record.database);
        if (!isNewerBackup(known.record, record)) return;
        if (await compareAndSet(consul, keys.backup(record.database), record, known.modifyIndex)) return;
      }
    },
  };
}

function orNull(text: string, key: string, database: string): BackupRecord | null {
  try {
    return parseBackupRecord(text, key, database);
  } catch (error) {
    if (error instanceof FleetError) return null;
    throw error;
  }
}
