/** Leases: `redis-fleet/<fleet>/leases/<host>`. Written by the host's agent, and by whoever breaks one. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import type { HostLease, StoredLease } from '../fleet/lease.js';
import { parseLease } from '../fleet/leaseFormat.js';
import { consulKeys } from '../fleet/names.js';
import { compareAndSet, compareAndSetAgain, readEntry, watchKey } from './kv.js';

export interface LeaseStore {
  /** Consul key. */
  key(host: string): string;
  /** Never stale. null: its agent never ran. @throws FleetError InvalidRecord, Unreachable */
  read(host: string): Promise<StoredLease | null>;
  /**
   * For its holder, who may replace one that nobody can read: `lease` is null then. null: there is none.
   * @throws FleetError Unreachable
   */
  readOwn(
    host: string,
    timeoutMs: number,
  ): Promise<{ readonly lease: HostLease | null; readonly modifyIndex: number } | null>;
  /**
   * For its holder: returns the new index; null: somebody changed it since `expectedIndex` (ABSENT: it must not exist).
   * @throws FleetError Unreachable: it may have been written all the same
   */
  renew(lease: HostLease, expectedIndex: number, timeoutMs: number): Promise<number | null>;
  /** false: somebody changed it since `expectedIndex` (ABSENT: it must not exist). @throws FleetError Unreachable */
  compareAndSet(lease: HostLease, expectedIndex: number): Promise<boolean>;
  /** Calls `onChange` at once and after every change, until `signal` aborts; survives outages. */
  watch(
    host: string,
    onChange: (lease: StoredLease | null) => void,
    signal: AbortSignal,
    onProblem?: (problem: FleetError) => void,
  ): Promise<void>;
}

export function leaseStore(consul: FleetConsul, fleet: string): LeaseStore {
  const keys = consulKeys(fleet);
  return {
    key: (host) => keys.lease(host),
    async read(host) {
      const entry = await readEntry(consul, keys.lease(host), { consistent: true });
      return entry === null
        ? null
        : { lease: parseLease(entry.text, entry.key), modifyIndex: entry.modifyIndex };
    },
    async readOwn(host, timeoutMs) {
      const entry = await readEntry(consul, keys.lease(host), { consistent: true, timeoutMs });
      if (entry === null) return null;
      const { modifyIndex } = entry;
      try {
        return { lease: parseLease(entry.text, entry.key), modifyIndex };
      } catch (error) {
        if (error instanceof FleetError && error.kind === 'InvalidRecord')
          return { lease: null, modifyIndex };
        throw error;
      }
    },
    async renew(lease, expectedIndex, timeoutMs) {
      return await compareAndSetAgain(consul, keys.lease(lease.host), lease, expectedIndex, timeoutMs);
    },
    async compareAndSet(lease, expectedIndex) {
      return await compareAndSet(consul, keys.lease(lease.host), lease, expectedIndex);
    },
    async watch(host, onChange, signal, onProblem) {
      const handlers = {
        onProblem,
        onChange: ([entry]: readonly { key: string; text: string; modifyIndex: number }[]): void =>
          onChange(
            entry === undefined
              ? null
              : { lease: parseLease(entry.text, entry.key), modifyIndex: entry.modifyIndex },
          ),
      };
      await watchKey(consul, keys.lease(host), handlers, signal);
    },
  };
}
