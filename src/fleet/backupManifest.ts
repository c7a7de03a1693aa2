/**
 * What is known of a backup, written beside its data once that is complete. Checked by hand, field by field, when it is
 * read: a manifest decides what is loaded into a database.
 */

import { FleetError } from './errors.js';
import type { ReplicationPosition } from './facts.js';

export const MANIFEST_FORMAT = 1;

/** Times are ISO 8601; sizes bytes; checksums SHA-256 in hexadecimal digits. */
export interface BackupManifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly id: string;
  readonly fleet: string;
  readonly database: string;
  /** Of the record when the backup was taken. */
  readonly epoch: number;
  /** Where in the replication history the data stands; null: only a full synchronisation can follow it. */
  readonly position: ReplicationPosition | null;
  readonly redisVersion: string | null;
  readonly rdbVersion: number;
  /** The RDB file as Redis wrote it. */
  readonly plain: { readonly bytes: number; readonly sha256: string };
  /** Strings from its beginning (`sampleOf`), with the checksum of their keys and values; null: none was taken. */
  readonly sample: { readonly keys: number; readonly sha256: string } | null;
  /** The object in the store. `key` lies beside the manifest. */
  readonly stored: { readonly key: string; readonly bytes: number; readonly sha256: string };
  /** null: stored as Redis wrote it. */
  readonly compression: { readonly method: 'zstd'; readonly level: number } | null;
  /** null: not encrypted. `recipients`: ids of the keys, any of which opens it. */
  readonly encryption: { readonly method: 'age'; readonly recipients: readonly string[] } | null;
  readonly times: {
    /** When the procedure began. */
    readonly started: string;
    /** The moment of the fork: the data is as of then. */
    readonly taken: string;
    /** When Redis had written the file. */
    readonly saved: string;
    /** When the data was complete in the store. */
    readonly stored: string;
  };
  /** Who wrote the file, and who stored it. */
  readonly from: { readonly host: string; readonly port: number };
}

export function writeManifest(manifest: BackupManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/**
 * @param key as messages name it
 * @throws FleetError InvalidRecord
 */
export function parseManifest(text: string, key: string): BackupManifest {
  const check = fieldsOf(key);
  const document = check.document(text);
  if (document['format'] !== MANIFEST_FORMAT) {
    throw check.wrong(
      'format',
      `must be ${MANIFEST_FORMAT}, the only one this version reads`,
      document['format'],
    );
  }
  const plain = check.object('plain', document['plain']);
  const stored = check.object('stored', document['stored']);
  const times = check.object('times', document['times']);
  const from = check.object('from', document['from']);
  const { position, redisVersion, compression, encryption, sample } = document;
  return {
    format: MANIFEST_FORMAT,
    id: check.text('id', document['id']),
    fleet: check.text('fleet', document['fleet']),
    database: check.text('database', document['database']),
    epoch: check.count('epoch', document['epoch']),
    position: position === null ? null : check.position('position', position),
    redisVersion: redisVersion === null ? null : check.text('redisVersion', redisVersion),
    rdbVersion: check.count('rdbVersion', document['rdbVersion']),
    plain: {
      bytes: check.count('plain.bytes', plain['bytes']),
      sha256: check.sha256('plain.sha256', plain['sha256']),
    },
    // Earlier ones have none.
    sample: sample === null || sample === undefined ? null : check.sample('sample', sample),
    stored: {
      key: check.text('stored.key', stored['key']),
      bytes: check.count('stored.bytes', stored['bytes']),
      sha256: check.sha256('stored.sha256', stored['sha256']),
    },
    compression: compression === null ? null : check.compression('compression', compression),
    encryption: encryption === null ? null : check.encryption('encryption', encryption),
    times: {
      started: check.instant('times.started', times['started']),
      taken: check.instant('times.taken', times['taken']),
      saved: check.instant('times.saved', times['saved']),
      stored: check.instant('times.stored', times['stored']),
    },
    from: {
      host: check.text('from.host', from['host']),
      port: check.count('from.port', from['port']),
    },
  };
}

/** Checks fields of the manifest at `key`. */
function fieldsOf(key: string) {
  const wrong = (field: string, must: string, is: unknown): FleetError =>
    new FleetError(
      'InvalidRecord',
      `The backup manifest ${key} is damaged: ${field} ${must}, and is ${shown(is)}. Nothing was restored from it. ` +
        'Use another backup of this database.',
    );
  const check = {
    wrong,
    document(text: string): Record<string, unknown> {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        throw wrong('its content', 'must be JSON', text);
      }
      return check.object('its content', value);
    },
    object(field: string, value: unknown): Record<string, unknown> {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
      throw wrong(field, 'must be a JSON object', value);
    },
    text(field: string, value: unknown): string {
      if (typeof value === 'string' && value !== '') return value;
      throw wrong(field, 'must be a text', value);
    },
    count(field: string, value: unknown): number {
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
      throw wrong(field, 'must be a whole number, 0 or more', value);
    },
    sha256(field: string, value: unknown): string {
      if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
      throw wrong(field, 'must be 64 hexadecimal digits', value);
    },
    instant(field: string, value: unknown): string {
      if (typeof value === 'string' && !Number.isNaN(Date.parse(value))) return value;
      throw wrong(field, 'must be a time like 2026-01-31T12:00:00.000Z', value);
    },
    position(field: string, value: unknown): ReplicationPosition {
      const { id, offset } = check.object(field, value);
      if (typeof id !== 'string' || !/^[0-9a-f]{40}$/.test(id)) {
        throw wrong(`${field}.id`, 'must be 40 hexadecimal digits', id);
      }
      return { id, offset: check.count(`${field}.offset`, offset) };
    },
    sample(field: string, value: unknown): NonNullable<BackupManifest['sample']> {
      const { keys, sha256 } = check.object(field, value);
      return {
        keys: check.count(`${field}.keys`, keys),
        sha256: check.sha256(`${field}.sha256`, sha256),
      };
    },
    compression(field: string, value: unknown): NonNullable<BackupManifest['compression']> {
      const { method, level } = check.object(field, value);
      if (method !== 'zstd') throw wrong(`${field}.method`, 'must be "zstd"', method);
      return { method, level: check.count(`${field}.level`, level) };
    },
    encryption(field: string, value: unknown): NonNullable<BackupManifest['encryption']> {
      const { method, recipients } = check.object(field, value);
      if (method !== 'age') throw wrong(`${field}.method`, 'must be "age"', method);
      if (!Array.isArray(recipients) || recipients.length === 0) {
        throw wrong(`${field}.recipients`, 'must be a list of ids of keys', recipients);
      }
      return {
        method,
        recipients: recipients.map((id: unknown, at) => check.text(`${field}.recipients[${at}]`, id)),
      };
    },
  };
  return check;
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
