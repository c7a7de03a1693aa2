/** The records: `redis-fleet/<fleet>/databases/<database>`. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import type { DatabaseRecord, StoredRecord } from '../fleet/record.js';
import { parseRecord } from '../fleet/recordFormat.js';
import { coalescedCompareAndSet } from './coalesced.js';
import { ABSENT, compareAndDelete, listEntries, readEntry, watchPrefix } from './kv.js';
import type { Entry } from './kv.js';

/** All records of a fleet. One that was edited into nonsense does not hide the others. */
export interface RecordList {
  readonly records: readonly StoredRecord[];
  readonly invalid: readonly { readonly database: string; readonly problem: FleetError }[];
}

export interface RecordStore {
  list(): Promise<RecordList>;
  /** Never stale. null: no record. @throws FleetError InvalidRecord, Unreachable */
  read(database: string): Promise<StoredRecord | null>;
  /** false: somebody changed it since `expectedIndex` (ABSENT: it must not exist). */
  compareAndSet(record: DatabaseRecord, expectedIndex: number): Promise<boolean>;
  /** false: somebody changed it since `expectedIndex`. */
  compareAndDelete(database: string, expectedIndex: number): Promise<boolean>;
  /** Calls `onChange` at once and after every change, until `signal` aborts; survives outages. */
  watch(
    onChange: (records: RecordList) => void | Promise<void>,
    signal: AbortSignal,
    onProblem?: (problem: FleetError) => void,
  ): Promise<void>;
}

export { ABSENT };

export function recordStore(consul: FleetConsul, fleet: string): RecordStore {
  const keys = consulKeys(fleet);
  const write = coalescedCompareAndSet(consul);
  const parsed: Parsed = new Map();
  return {
    async list() {
      return toList(await listEntries(consul, keys.databases), keys.databases, parsed);
    },
    async read(database) {
      const entry = await readEntry(consul, keys.database(database), { consistent: true });
      return entry === null ? null : toStored(entry, database, parsed);
    },
    async compareAndSet(record, expectedIndex) {
      return await write(keys.database(record.database), record, expectedIndex);
    },
    async compareAndDelete(database, expectedIndex) {
      return await compareAndDelete(consul, keys.database(database), expectedIndex);
    },
    async watch(onChange, signal, onProblem) {
      await watchPrefix(
        consul,
        keys.databases,
        { onChange: (entries) => onChange(toList(entries, keys.databases, parsed)), onProblem },
        signal,
      );
    },
  };
}

/** What was parsed last of each: a list is read at every change of any, and most of it is as before. */
type Parsed = Map<string, { readonly text: string; readonly stored: StoredRecord }>;

function toStored({ key, text, modifyIndex }: Entry, database: string, parsed: Parsed): StoredRecord {
  const known = parsed.get(database);
  // An index alone may come back with other words, from a snapshot of Consul.
  if (known?.text === text && known.stored.modifyIndex === modifyIndex) return known.stored;
  const stored = { record: parseRecord(text, { key, database }), modifyIndex };
  parsed.set(database, { text, stored });
  return stored;
}

function toList(entries: readonly Entry[], prefix: string, parsed: Parsed): RecordList {
  const records: StoredRecord[] = [];
  const invalid: { database: string; problem: FleetError }[] = [];
  for (const entry of entries) {
    const database = entry.key.slice(prefix.length);
    if (database === '') continue;
    try {
      records.push(toStored(entry, database, parsed));
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      invalid.push({ database, problem: error });
    }
  }
  return { records, invalid };
}
