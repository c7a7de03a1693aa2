/** What each agent last reported about its host: `redis-fleet/<fleet>/hosts/<host>`. Only that agent writes it. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import type { HostReport } from '../fleet/facts.js';
import { consulKeys } from '../fleet/names.js';
import { listEntries, parseEntry, put, readEntry } from './kv.js';
import type { Entry } from './kv.js';

export interface ReportStore {
  publish(report: HostReport): Promise<void>;
  /** null: none yet, or one that cannot be read. */
  read(host: string): Promise<HostReport | null>;
  /** Every host's last report, however old (`at`); an unreadable one is left out. */
  list(): Promise<readonly HostReport[]>;
}

export function reportStore(consul: FleetConsul, fleet: string): ReportStore {
  const keys = consulKeys(fleet);
  return {
    async publish(report) {
      await put(consul, keys.report(report.host), report);
    },
    async read(host) {
      const entry = await readEntry(consul, keys.report(host));
      return entry === null ? null : (toReport(entry)[0] ?? null);
    },
    async list() {
      return (await listEntries(consul, keys.report(''))).flatMap(toReport);
    },
  };
}

function toReport(entry: Entry): readonly HostReport[] {
  try {
    const value = parseEntry(entry);
    return isReport(value) ? [value] : [];
  } catch (error) {
    if (error instanceof FleetError) return [];
    throw error;
  }
}

function isReport(value: unknown): value is HostReport {
  return (
    typeof value === 'object' &&
    value !== null &&
    'host' in value &&
    typeof value.host === 'string' &&
    'at' in value &&
    typeof value.at === 'string' &&
    'memory' in value &&
    'processes' in value &&
    Array.isArray(value.processes)
  );
}
