/**
 * `backups/<database>` in Consul: the last verified backup of a database. Written by whoever verified it, as a
 * compare-and-set; it only ever moves forward.
 */

import { FleetError } from './errors.js';
import type { ReplicationPosition } from './facts.js';

/** Times are ISO 8601; sizes bytes; checksums SHA-256 in hexadecimal digits. */
export interface BackupRecord {
  readonly database: string;
  /** Of the backup in the store. */
  readonly id: string;
  /** The data is as of then. */
  readonly at: string;
  readonly verifiedAt: string;
  /** Of the record when it was taken. */
  readonly epoch: number;
  /** Where in the replication history the data stands; null: only a full synchronisation can follow it. */
  readonly position: ReplicationPosition | null;
  /** Of the data, in the store. */
  readonly key: string;
  readonly sha256: string;
  readonly storedBytes: number;
  /** Of the file as Redis wrote it. */
  readonly plainBytes: number;
  /** As `redis-check-rdb` counted them. */
  readonly keys: number;
  /** The store, as messages name it. */
  readonly store: string;
  /** Where it was taken. */
  readonly host: string;
  /** Workflow id. */
  readonly by: string;
}

/** Whether `next` tells more than what is known: backups may end in another order than they began. */
export function isNewerBackup(known: BackupRecord | null, next: BackupRecord): boolean {
  return known === null || Date.parse(next.at) > Date.parse(known.at);
}

/** @throws FleetError InvalidRecord */
export function parseBackupRecord(text: string, key: string, database: string): BackupRecord {
  const value = parse(text);
  const wrong = value === null ? 'it is not a JSON object' : problemOf(value, database);
  if (wrong === null) return value as unknown as BackupRecord;
  throw new FleetError(
    'InvalidRecord',
    `Consul key ${key} does not hold the last verified backup of ${database}: ${wrong}. The store is as it was; the next ` +
      `backup writes it anew: redis-fleet backups take ${database}`,
  );
}

const TEXTS = ['id', 'key', 'sha256', 'store', 'host', 'by'];
const TIMES = ['at', 'verifiedAt'];
const COUNTS = ['epoch', 'storedBytes', 'plainBytes', 'keys'];

function problemOf(value: Record<string, unknown>, database: string): string | null {
  if (value['database'] !== database) return `its database is ${JSON.stringify(value['database'])}`;
  const noText = TEXTS.find((field) => typeof value[field] !== 'string');
  if (noText !== undefined) return `${noText} is no text`;
  const noTime = TIMES.find((field) => Number.isNaN(Date.parse(String(value[field]))));
  if (noTime !== undefined) return `${noTime} is no time`;
  const noCount = COUNTS.find((field) => !Number.isSafeInteger(value[field]));
  if (noCount !== undefined) return `${noCount} is no whole number`;
  return isPosition(value['position']) ? null : 'position is no position in a replication history';
}

function isPosition(value: unknown): boolean {
  if (value === null) return true;
  return (
    typeof value === 'object' &&
    typeof Reflect.get(value, 'id') === 'string' &&
    Number.isSafeInteger(Reflect.get(value, 'offset'))
  );
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}
