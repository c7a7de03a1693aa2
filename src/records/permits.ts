/** Fork permits: `redis-fleet/<fleet>/permits/<host>`. At most one holder a host, by compare-and-set. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import type { ForkPermit } from '../fleet/record.js';
import { parsePermit } from '../fleet/recordFormat.js';
import { compareAndDelete, compareAndSet, listEntries, readEntry } from './kv.js';

export interface StoredPermit {
  readonly permit: ForkPermit;
  readonly modifyIndex: number;
}

export interface PermitStore {
  /** Every permit held now; one that is unreadable is left out. */
  list(): Promise<readonly StoredPermit[]>;
  /** Never stale. null: nobody holds it. @throws FleetError InvalidRecord, Unreachable */
  read(host: string): Promise<StoredPermit | null>;
  /** false: somebody took or changed it since `expectedIndex` (ABSENT: nobody may hold it). */
  compareAndSet(permit: ForkPermit, expectedIndex: number): Promise<boolean>;
  /** false: somebody changed it since `expectedIndex`. */
  compareAndDelete(host: string, expectedIndex: number): Promise<boolean>;
}

export function permitStore(consul: FleetConsul, fleet: string): PermitStore {
  const keys = consulKeys(fleet);
  return {
    async list() {
      const entries = await listEntries(consul, keys.permit(''));
      return entries.flatMap((entry) => {
        try {
          return [{ permit: parsePermit(entry.text, { key: entry.key }), modifyIndex: entry.modifyIndex }];
        } catch (error) {
          if (error instanceof FleetError) return [];
          throw error;
        }
      });
    },
    async read(host) {
      const entry = await readEntry(consul, keys.permit(host), { consistent: true });
      if (entry === null) return null;
      return { permit: parsePermit(entry.text, { key: entry.key }), modifyIndex: entry.modifyIndex };
    },
    async compareAndSet(permit, expectedIndex) {
      return await compareAndSet(consul, keys.permit(permit.host), permit, expectedIndex);
    },
    async compareAndDelete(host, expectedIndex) {
      return await compareAndDelete(consul, keys.permit(host), expectedIndex);
    },
  };
}
