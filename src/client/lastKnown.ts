/** The last records seen, in a file: for a process that starts while Consul is away. */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { Endpoint } from '../fleet/record.js';
import { sameForClients, type KnownRecord } from './target.js';

export interface LastKnown {
  /** null: the file says nothing about it, or cannot be read. */
  read(database: string): KnownRecord | null;
  /** Keeps it, where it is news. @throws Error when the file cannot be written */
  write(record: KnownRecord): Promise<void>;
}

/** One file may serve all databases of a fleet, and several processes: each adds what it knows. */
export function lastKnownFile(path: string, fleet: string): LastKnown {
  function all(): Record<string, KnownRecord> {
    let document: unknown;
    try {
      document = JSON.parse(readFileSync(path, 'utf8'));
    } catch {
      // None yet, or cut short: as if there were none.
      return {};
    }
    if (!isObject(document) || document['fleet'] !== fleet || !isObject(document['databases'])) return {};
    const entries = Object.entries(document['databases']).flatMap(([database, value]) => {
      const record = toRecord(database, value);
      return record === null ? [] : [[database, record] as const];
    });
    return Object.fromEntries(entries);
  }
  async function add({ database, epoch, leader, follower }: KnownRecord): Promise<void> {
    const known = all();
    const before = known[database];
    // Another process may be ahead of this one.
    if (before && before.epoch > epoch) return;
    const record = { database, epoch, leader: bare(leader), follower: follower && bare(follower) };
    if (before && sameForClients(before, record)) return;
    const next = `${path}.${randomBytes(4).toString('hex')}`;
    const databases = { ...known, [database]: record };
    await writeFile(next, `${JSON.stringify({ fleet, databases }, null, 2)}\n`);
    await rename(next, path);
  }
  let last: Promise<void> = Promise.resolve();
  return {
    read: (database) => all()[database] ?? null,
    write(record) {
      // One after the other: each reads what the one before has written.
      const written = last.then(() => add(record));
      last = written.catch(() => undefined);
      return written;
    },
  };
}

function bare({ host, address, port }: Endpoint): Endpoint {
  return { host, address, port };
}

function toRecord(database: string, value: unknown): KnownRecord | null {
  if (!isObject(value) || typeof value['epoch'] !== 'number') return null;
  const leader = toEndpoint(value['leader']);
  return leader === null
    ? null
    : { database, epoch: value['epoch'], leader, follower: toEndpoint(value['follower']) };
}

function toEndpoint(value: unknown): Endpoint | null {
  if (!isObject(value)) return null;
  const { host, address, port } = value;
  return typeof host === 'string' && typeof address === 'string' && typeof port === 'number'
    ? { host, address, port }
    : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
