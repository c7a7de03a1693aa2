/** What the last drill of each database found: `redis-fleet/<fleet>/drills/<database>`. */

import type { FleetConsul } from '../connections/consul.js';
import type { DrillRecord } from '../fleet/drills.js';
import { FleetError } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import { ABSENT, compareAndSet, listEntries, parseEntry, readEntry } from './kv.js';
import type { Entry } from './kv.js';

export interface DrillStore {
  /** One that is unreadable is left out: it counts as none. */
  list(): Promise<readonly DrillRecord[]>;
  /** Writes it, unless a later one is known. Keeps when one passed last. */
  record(drill: Omit<DrillRecord, 'lastPassed'>): Promise<DrillRecord>;
}

export function drillStore(consul: FleetConsul, fleet: string): DrillStore {
  const keys = consulKeys(fleet);
  return {
    async list() {
      return (await listEntries(consul, keys.drill(''))).flatMap(toDrill);
    },
    async record(drill) {
      const key = keys.drill(drill.database);
      for (;;) {
        const entry = await readEntry(consul, key, { consistent: true });
        const known = entry === null ? null : (toDrill(entry)[0] ?? null);
        if (known !== null && Date.parse(known.at) >= Date.parse(drill.at)) return known;
        const lastPassed = drill.passed ? drill.at : (known?.lastPassed ?? null);
        const next: DrillRecord = { ...drill, lastPassed };
        if (await compareAndSet(consul, key, next, entry?.modifyIndex ?? ABSENT)) return next;
      }
    },
  };
}

function toDrill(entry: Entry): DrillRecord[] {
  try {
    const value = parseEntry(entry);
    return isDrill(value) ? [value] : [];
  } catch (error) {
    if (error instanceof FleetError) return [];
    throw error;
  }
}

function isDrill(value: unknown): value is DrillRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'database' in value &&
    typeof value.database === 'string' &&
    'at' in value &&
    !Number.isNaN(Date.parse(String(value.at))) &&
    'passed' in value &&
    typeof value.passed === 'boolean' &&
    'backup' in value &&
    typeof value.backup === 'string' &&
    'lastPassed' in value
  );
}
