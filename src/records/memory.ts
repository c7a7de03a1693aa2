/**
 * What each agent remembers of its host's memory: `redis-fleet/<fleet>/memory/<host>`, compressed. Only that agent writes
 * it, and reads it back when it starts, so that a forecast survives restarts of everybody.
 */

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { readHistory, writeHistory } from '../fleet/memoryHistoryFormat.js';
import { consulKeys } from '../fleet/names.js';
import type { MemoryHistory } from '../fleet/relocation/state.js';
import { listEntries, parseEntry, put, readEntry } from './kv.js';
import type { Entry } from './kv.js';

export interface MemoryStore {
  publish(history: MemoryHistory): Promise<void>;
  /** null: none yet, or one that cannot be read. */
  read(host: string): Promise<MemoryHistory | null>;
  /** Of every host that has one. */
  list(): Promise<readonly MemoryHistory[]>;
}

export function memoryStore(consul: FleetConsul, fleet: string): MemoryStore {
  const keys = consulKeys(fleet);
  return {
    async publish(history) {
      await put(consul, keys.memory(history.host), { deflated: deflated(history) });
    },
    async read(host) {
      const entry = await readEntry(consul, keys.memory(host));
      return entry === null ? null : (toHistory(entry)[0] ?? null);
    },
    async list() {
      return (await listEntries(consul, keys.memory(''))).flatMap(toHistory);
    },
  };
}

export function deflated(history: MemoryHistory): string {
  return deflateRawSync(JSON.stringify(writeHistory(history))).toString('base64');
}

function toHistory(entry: Entry): MemoryHistory[] {
  try {
    const value = parseEntry(entry);
    if (typeof value !== 'object' || value === null || !('deflated' in value)) return [];
    const text = inflateRawSync(Buffer.from(String(value.deflated), 'base64')).toString('utf8');
    const history = readHistory(JSON.parse(text));
    return history === null ? [] : [history];
  } catch (error) {
    // Nobody edits it by hand: what is broken is made anew.
    if (error instanceof FleetError || error instanceof SyntaxError || isZlib(error)) return [];
    throw error;
  }
}

function isZlib(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_/.test(String(error.code));
}
