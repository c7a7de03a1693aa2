/**
 * From a file of Redis's to a backup in the store, in one pass: read → hash → compress → encrypt → hash → store. The manifest
 * comes last, so that whatever happens before leaves nothing that could be taken for a backup.
 */

import { randomBytes } from 'node:crypto';
import { dataKey, manifestKey } from '../fleet/backup.js';
import {
  MANIFEST_FORMAT,
  parseManifest,
  writeManifest,
  type BackupManifest,
} from '../fleet/backupManifest.js';
import type { BackupRef } from '../fleet/backupVerdict.js';
import { FleetError } from '../fleet/errors.js';
import { Digest } from './digest.js';
import { encrypted } from './encryption.js';
import type { Recipient } from './keyring.js';
import { lean } from './memory.js';
import { paced } from './pacing.js';
import { openRdb, type RdbSource } from './rdbSource.js';
import { readSample, sampleDigest } from './sample.js';
import { getText, putText } from './store/smallObjects.js';
import type { BackupStore, Pieces } from './store/store.js';
import { compressed } from './zstdFrames.js';

export interface BackupJob extends BackupRef {
  /** What to store: an RDB file, complete. */
  readonly file: string;
  readonly epoch: number;
  /** ISO 8601; as in the manifest. */
  readonly times: { readonly started: string; readonly taken: string; readonly saved: string };
  readonly from: { readonly host: string; readonly port: number };
}

export interface BackupForm {
  /** null: as Redis wrote it. */
  readonly compression: { readonly level: number } | null;
  /** None: not encrypted. */
  readonly recipients: readonly Recipient[];
  /** Of the file; null: as fast as it goes. */
  readonly bytesPerSecond: number | null;
}

export interface BackupProgress {
  readonly readBytes: number;
  readonly totalBytes: number;
  readonly storedBytes: number;
}

export interface StoreBackupOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BackupProgress) => void;
}

export interface StoredBackup {
  readonly manifest: BackupManifest;
  /** What an attempt before this one had sent already. */
  readonly resumedBytes: number;
}

/**
 * May be run again after a crash at any point: what is complete already is found, and an upload that can be gone on with
 * is. An encrypted one starts over: no two attempts have the same key, and keeping one for the next attempt would mean
 * keeping it somewhere.
 * @throws FleetError NotFound and BadDataFile (the file), and those of the store
 */
export async function storeBackup(
  store: BackupStore,
  job: BackupJob,
  form: BackupForm,
  options: StoreBackupOptions = {},
): Promise<StoredBackup> {
  const done = await finishedBefore(store, job);
  if (done !== null) return { manifest: done, resumedBytes: done.stored.bytes };
  const source = await openRdb(job.file);
  try {
    return await storeSource(store, job, form, source, options);
  } finally {
    await source.close();
  }
}

async function storeSource(
  store: BackupStore,
  job: BackupJob,
  { compression, recipients, bytesPerSecond }: BackupForm,
  source: RdbSource,
  { signal, onProgress }: StoreBackupOptions,
): Promise<StoredBackup> {
  const { file } = source;
  const sample = await readSample(job.file);
  const isEncrypted = recipients.length > 0;
  const plain = new Digest();
  let content: Pieces = plain.of(lean(paced(source.pieces(signal), bytesPerSecond, signal)));
  if (compression !== null) content = compressed(content, compression.level);
  if (isEncrypted) content = encrypted(content, recipients);
  // The same bytes have the same checksum: hashed once.
  const stored = compression === null && !isEncrypted ? plain : new Digest();
  if (stored !== plain) content = stored.of(content);
  if (onProgress !== undefined) {
    content = told(content, () =>
      onProgress({ readBytes: plain.bytes, totalBytes: file.bytes, storedBytes: stored.bytes }),
    );
  }

  const key = dataKey(job.fleet, job.database, job.id, {
    compressed: compression !== null,
    encrypted: isEncrypted,
    attempt: isEncrypted ? randomBytes(4).toString('hex') : null,
  });
  const put = await store.put(key, content, {
    atMostBytes: file.bytes,
    repeatable: !isEncrypted,
    ...(signal === undefined ? {} : { signal }),
  });
  if (put.bytes !== stored.bytes || plain.bytes !== file.bytes) {
    throw new FleetError(
      'Unreachable',
      `Of ${file.bytes} bytes of ${job.file}, ${plain.bytes} were read, and ${put.bytes} of ${stored.bytes} stored as ${key}. ` +
        'It does not count as a backup. Retry.',
    );
  }
  const manifest: BackupManifest = {
    format: MANIFEST_FORMAT,
    id: job.id,
    fleet: job.fleet,
    database: job.database,
    epoch: job.epoch,
    position: file.header.position,
    redisVersion: file.header.redisVersion,
    rdbVersion: file.header.rdbVersion,
    plain: { bytes: plain.bytes, sha256: plain.sha256 },
    sample: sample.length === 0 ? null : { keys: sample.length, sha256: sampleDigest(sample) },
    stored: { key, bytes: stored.bytes, sha256: stored.sha256 },
    compression: compression === null ? null : { method: 'zstd', level: compression.level },
    encryption: isEncrypted ? { method: 'age', recipients: recipients.map(({ id }) => id) } : null,
    times: { ...job.times, stored: new Date().toISOString() },
    from: job.from,
  };
  signal?.throwIfAborted();
  await putText(store, manifestKey(job.fleet, job.database, job.id), writeManifest(manifest));
  return { manifest, resumedBytes: put.resumedBytes };
}

/** What an attempt before this one completed, whose answer was lost. */
async function finishedBefore(
  store: BackupStore,
  { fleet, database, id }: BackupRef,
): Promise<BackupManifest | null> {
  const key = manifestKey(fleet, database, id);
  if ((await store.stat(key)) === null) return null;
  try {
    const manifest = parseManifest(await getText(store, key), key);
    const data = await store.stat(manifest.stored.key);
    return manifest.id === id && data?.bytes === manifest.stored.bytes ? manifest : null;
  } catch (error) {
    // A damaged one is replaced.
    if (error instanceof FleetError && (error.kind === 'InvalidRecord' || error.kind === 'NotFound'))
      return null;
    throw error;
  }
}

async function* told(content: Pieces, tell: () => void): Pieces {
  for await (const piece of content) {
    tell();
    yield piece;
  }
  tell();
}
