/** The fleet as it was last applied: `redis-fleet/<fleet>/fleet`, written by `redis-fleet apply` alone. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { DEFAULT_BACKUPS, DEFAULT_DETECTION, DEFAULT_RELOCATION } from '../fleet/fleet.js';
import type { Fleet } from '../fleet/fleet.js';
import { consulKeys } from '../fleet/names.js';
import { compareAndSet, parseEntry, readEntry, watchKey } from './kv.js';
import type { Entry } from './kv.js';

export interface StoredFleet {
  readonly fleet: Fleet;
  readonly modifyIndex: number;
}

export interface FleetStore {
  /** null: none applied yet. @throws FleetError InvalidRecord, Unreachable */
  read(): Promise<StoredFleet | null>;
  /** @param without completes "No fleet file was applied to fleet demo yet, so …". @throws FleetError NotFound: none was */
  applied(without: string): Promise<Fleet>;
  /** @param expectedIndex of the fleet that was read, ABSENT when there was none. @throws FleetError RecordChanged */
  write(fleet: Fleet, expectedIndex: number): Promise<void>;
  /** Calls `onChange` at once and after every change, until `signal` aborts; survives outages, and what nobody can read. */
  watch(onChange: (fleet: Fleet) => void, signal: AbortSignal): Promise<void>;
}

export function fleetStore(consul: FleetConsul, fleetName: string): FleetStore {
  const key = consulKeys(fleetName).fleet;

  function toStored(entry: Entry): StoredFleet {
    const value = parseEntry(entry);
    if (!isFleet(value) || value.name !== fleetName) {
      throw new FleetError(
        'InvalidRecord',
        `Consul key ${key} does not hold fleet ${fleetName}. See it with \`consul kv get ${key}\`, and write it again ` +
          `with \`consul kv delete ${key}\` and \`redis-fleet apply FILE\`; no database is touched by that.`,
      );
    }
    // One that an older version stored lacks what was added since.
    const detection = { ...DEFAULT_DETECTION, ...value.detection };
    const backups = { ...DEFAULT_BACKUPS, ...value.backups };
    const relocation = { ...DEFAULT_RELOCATION, ...value.relocation };
    return { fleet: { ...value, detection, backups, relocation }, modifyIndex: entry.modifyIndex };
  }

  async function read(): Promise<StoredFleet | null> {
    const entry = await readEntry(consul, key, { consistent: true });
    return entry === null ? null : toStored(entry);
  }

  return {
    read,
    async applied(without) {
      const stored = await read();
      if (stored !== null) return stored.fleet;
      throw new FleetError(
        'NotFound',
        `No fleet file was applied to fleet ${fleetName} yet, so ${without}. Write one, look at it with ` +
          '`redis-fleet plan FILE`, and `redis-fleet apply FILE`.',
      );
    },
    async watch(onChange, signal) {
      const tell = ([entry]: readonly Entry[]): void => {
        try {
          if (entry !== undefined) onChange(toStored(entry).fleet);
        } catch (error) {
          // Whoever applies or plans is told; what was known holds.
          if (!(error instanceof FleetError)) throw error;
        }
      };
      await watchKey(consul, key, { onChange: tell }, signal);
    },
    async write(fleet, expectedIndex) {
      if (await compareAndSet(consul, key, fleet, expectedIndex)) return;
      throw new FleetError(
        'RecordChanged',
        `Somebody else applied a fleet file to ${fleetName} in this moment; nothing was written. Look with ` +
          '`redis-fleet plan`, then apply again.',
      );
    },
  };
}

/** Only what everything else relies on: the schema of the file has checked it before it was written. */
function isFleet(value: unknown): value is Fleet {
  if (typeof value !== 'object' || value === null) return false;
  return (
    'name' in value &&
    'servers' in value &&
    Array.isArray(value.servers) &&
    value.servers.every(isServer) &&
    'databases' in value &&
    Array.isArray(value.databases) &&
    value.databases.every(isDatabase)
  );
}

function isServer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('hosts' in value) || !Array.isArray(value.hosts))
    return false;
  return (
    value.hosts.length === 2 &&
    value.hosts.every(
      (host: unknown) => hasText(host, 'name') && hasText(host, 'zone') && hasText(host, 'address'),
    )
  );
}

function isDatabase(value: unknown): boolean {
  return (
    hasText(value, 'name') &&
    hasText(value, 'server') &&
    hasNumber(value, 'port') &&
    hasNumber(value, 'maxmemory')
  );
}

function hasText(value: unknown, field: string): boolean {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, field) === 'string';
}

function hasNumber(value: unknown, field: string): boolean {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, field) === 'number';
}
