/** Maintenance: `redis-fleet/<fleet>/maintenance/<scope>/<name>`. Written by `redis-fleet maintenance`. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { MAINTENANCE_SCOPES } from '../fleet/maintenance.js';
import type { Maintenance, MaintenanceScope } from '../fleet/maintenance.js';
import { consulKeys } from '../fleet/names.js';
import { compareAndDelete, listEntries, parseEntry, put, readEntry, watchPrefix } from './kv.js';
import type { Entry } from './kv.js';

export interface MaintenanceStore {
  /** Also those that are over. One that is unreadable counts as maintenance of what its key says. */
  list(): Promise<readonly Maintenance[]>;
  begin(maintenance: Maintenance): Promise<void>;
  /** false: there was none. */
  end(scope: MaintenanceScope, name: string): Promise<boolean>;
  /** Calls `onChange` at once and after every change, until `signal` aborts; survives outages. */
  watch(
    onChange: (all: readonly Maintenance[]) => void,
    signal: AbortSignal,
    onProblem?: (problem: FleetError) => void,
  ): Promise<void>;
}

export function maintenanceStore(consul: FleetConsul, fleet: string): MaintenanceStore {
  const keys = consulKeys(fleet);
  const read = (entries: readonly Entry[]): Maintenance[] =>
    entries.flatMap((entry) => toMaintenance(entry, keys.maintenance));
  return {
    async list() {
      return read(await listEntries(consul, keys.maintenance));
    },
    async begin(maintenance) {
      await put(consul, keys.maintenanceOf(maintenance.scope, maintenance.name), maintenance);
    },
    async end(scope, name) {
      const key = keys.maintenanceOf(scope, name);
      for (;;) {
        const entry = await readEntry(consul, key, { consistent: true });
        if (entry === null) return false;
        if (await compareAndDelete(consul, key, entry.modifyIndex)) return true;
      }
    },
    async watch(onChange, signal, onProblem) {
      const handlers = { onProblem, onChange: (entries: readonly Entry[]) => onChange(read(entries)) };
      await watchPrefix(consul, keys.maintenance, handlers, signal);
    },
  };
}

/** Its key alone says what it is about: what a person wrote by hand holds as well. */
function toMaintenance(entry: Entry, prefix: string): Maintenance[] {
  const [word = '', name = ''] = entry.key.slice(prefix.length).split('/');
  const scope = MAINTENANCE_SCOPES.find((one) => one === word);
  if (scope === undefined || name === '') return [];
  const value = valueOf(entry);
  const text = (field: string, otherwise: string): string => {
    const found: unknown = value === null ? null : Reflect.get(value, field);
    return typeof found === 'string' ? found : otherwise;
  };
  const until = text('until', '');
  return [
    {
      scope,
      name,
      by: text('by', 'unknown'),
      reason: text('reason', 'none was given'),
      since: text('since', 'unknown'),
      ...(Number.isNaN(Date.parse(until)) ? {} : { until }),
    },
  ];
}

function valueOf(entry: Entry): object | null {
  try {
    const value = parseEntry(entry);
    return typeof value === 'object' ? value : null;
  } catch (error) {
    if (error instanceof FleetError) return null;
    throw error;
  }
}
