/**
 * From the store back to what Redis wrote, with everything checked on the way: that the manifest belongs to this backup,
 * that the stored bytes are those that were stored, and that what comes out of them is the file that Redis wrote.
 */

import { backupPrefix, listBackups, manifestKey, readBackupId, type StoredObject } from '../fleet/backup.js';
import { parseManifest, type BackupManifest } from '../fleet/backupManifest.js';
import type { BackupDamage, BackupRef } from '../fleet/backupVerdict.js';
import { FleetError } from '../fleet/errors.js';
import { Digest } from './digest.js';
import { decrypted, NoKeyFits, NotDecryptable } from './encryption.js';
import type { Keyring } from './keyring.js';
import { lean } from './memory.js';
import { getText } from './store/smallObjects.js';
import type { BackupStore, Pieces } from './store/store.js';
import { decompressed, NotOurFrames } from './zstdFrames.js';

export type ReadBack<T> =
  | { readonly ok: true; readonly manifest: BackupManifest; readonly value: T }
  | { readonly ok: false; readonly damage: BackupDamage };

export interface ReadBackOptions {
  readonly keyring: Keyring;
  readonly signal?: AbortSignal;
  /** Bytes of the file that came out so far, of how many. */
  readonly onProgress?: (bytes: number, totalBytes: number) => void;
}

/**
 * Gives the file to `use`, which must take what it made of it for nothing unless the result is `ok`.
 * @throws FleetError of the store, when it cannot be told what is there; what `use` throws
 */
export async function readBack<T>(
  store: BackupStore,
  ref: BackupRef,
  { keyring, signal, onProgress }: ReadBackOptions,
  use: (file: Pieces, manifest: BackupManifest) => Promise<T>,
): Promise<ReadBack<T>> {
  const found = await readManifest(store, ref);
  if ('damage' in found) return { ok: false, damage: found.damage };
  const { manifest } = found;
  const damage = (await sizeDamage(store, manifest)) ?? keyDamage(manifest, keyring);
  if (damage !== null) return { ok: false, damage };

  const { compression, encryption } = manifest;
  const stored = new Digest();
  const plain = compression === null && encryption === null ? stored : new Digest();
  let content = stored.of(store.get(manifest.stored.key, signal === undefined ? {} : { signal }));
  if (encryption !== null) content = decrypted(content, keyring.identities);
  if (compression !== null) content = decompressed(content);
  if (plain !== stored) content = plain.of(content);
  content = lean(content);
  content = watched(content, manifest.plain.bytes, plain, onProgress);
  try {
    const value = await use(content, manifest);
    if (stored.bytes !== manifest.stored.bytes || stored.sha256 !== manifest.stored.sha256) {
      return { ok: false, damage: await storedDamage(store, manifest, stored) };
    }
    if (plain.bytes !== manifest.plain.bytes || plain.sha256 !== manifest.plain.sha256) {
      return { ok: false, damage: unreadable(manifest, 'does not give the file that Redis wrote') };
    }
    return { ok: true, manifest, value };
  } catch (error) {
    const why = unreadableBecause(error);
    if (why === null) throw error;
    // What cannot be read may be what was stored, or not: that makes the difference between two causes.
    const all = await digestOf(store, manifest.stored.key, signal);
    if (all.bytes !== manifest.stored.bytes || all.sha256 !== manifest.stored.sha256) {
      return { ok: false, damage: await storedDamage(store, manifest, all) };
    }
    if (error instanceof NoKeyFits) return { ok: false, damage: wrongKey(manifest, keyring) };
    return { ok: false, damage: unreadable(manifest, why) };
  }
}

async function readManifest(
  store: BackupStore,
  { fleet, database, id }: BackupRef,
): Promise<{ manifest: BackupManifest } | { damage: BackupDamage }> {
  const key = manifestKey(fleet, database, id);
  let manifest: BackupManifest;
  try {
    manifest = parseManifest(await getText(store, key), key);
  } catch (error) {
    if (error instanceof FleetError && error.kind === 'NotFound' && (await store.stat(key)) === null) {
      return { damage: { kind: 'no manifest', data: await dataOf(store, fleet, database, id) } };
    }
    if (error instanceof FleetError && error.kind === 'InvalidRecord') {
      return { damage: { kind: 'bad manifest', why: error.message } };
    }
    throw error;
  }
  const belongs = manifest.fleet === fleet && manifest.database === database && manifest.id === id;
  const named = readBackupId(id);
  if (
    !belongs ||
    named?.epoch !== manifest.epoch ||
    !manifest.stored.key.startsWith(`${backupPrefix(fleet, database)}${id}.`)
  ) {
    const why = `it says ${manifest.id} of ${manifest.database} in ${manifest.fleet}, with its data in ${manifest.stored.key}`;
    return { damage: { kind: 'foreign manifest', why } };
  }
  return { manifest };
}

async function dataOf(
  store: BackupStore,
  fleet: string,
  database: string,
  id: string,
): Promise<readonly string[]> {
  const objects: StoredObject[] = [];
  for await (const object of store.list(`${backupPrefix(fleet, database)}${id}.`)) objects.push(object);
  return listBackups(objects).backups.flatMap(({ data }) => data.map(({ key }) => key));
}

async function sizeDamage(store: BackupStore, manifest: BackupManifest): Promise<BackupDamage | null> {
  const { key, bytes } = manifest.stored;
  const there = await store.stat(key);
  if (there === null) return { kind: 'no data', key };
  return there.bytes === bytes ? null : await differentData(store, manifest, there.bytes);
}

async function storedDamage(store: BackupStore, manifest: BackupManifest, is: Digest): Promise<BackupDamage> {
  const { key, bytes, sha256 } = manifest.stored;
  if (is.bytes !== bytes) return differentData(store, manifest, is.bytes);
  if (!(await beginsAsItShould(store, manifest))) return foreign(key, 'is of another kind');
  return { kind: 'altered', key, sha256: is.sha256, expectedSha256: sha256 };
}

async function differentData(
  store: BackupStore,
  manifest: BackupManifest,
  bytes: number,
): Promise<BackupDamage> {
  const { key, bytes: expectedBytes } = manifest.stored;
  if (!(await beginsAsItShould(store, manifest))) return foreign(key, 'is of another kind');
  if (bytes > expectedBytes) return foreign(key, `has ${bytes} bytes instead of ${expectedBytes}`);
  return { kind: 'truncated', key, bytes, expectedBytes };
}

function foreign(key: string, why: string): BackupDamage {
  return { kind: 'foreign data', key, why };
}

const AGE_BEGINNING = Buffer.from('age-encryption.org/');
const ZSTD_BEGINNING = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const RDB_BEGINNING = Buffer.from('REDIS');

/** An empty or very short one may be the beginning of anything. */
async function beginsAsItShould(store: BackupStore, { stored, compression, encryption }: BackupManifest) {
  const expected =
    encryption !== null ? AGE_BEGINNING : compression !== null ? ZSTD_BEGINNING : RDB_BEGINNING;
  for await (const piece of store.get(stored.key)) {
    const compared = Math.min(piece.length, expected.length);
    return expected.subarray(0, compared).equals(piece.subarray(0, compared));
  }
  return true;
}

function keyDamage(manifest: BackupManifest, keyring: Keyring): BackupDamage | null {
  const { encryption } = manifest;
  if (encryption === null || keyring.identities.some(({ id }) => encryption.recipients.includes(id)))
    return null;
  return wrongKey(manifest, keyring);
}

function wrongKey({ encryption }: BackupManifest, { identities }: Keyring): BackupDamage {
  return { kind: 'wrong key', needed: encryption?.recipients ?? [], held: identities.map(({ id }) => id) };
}

function unreadable({ stored }: BackupManifest, why: string): BackupDamage {
  return { kind: 'unreadable', key: stored.key, why };
}

/** null: the content is not to blame. */
function unreadableBecause(error: unknown): string | null {
  if (error instanceof NotOurFrames) return `is not compressed as the manifest says: ${error.message}`;
  if (error instanceof NotDecryptable) return `cannot be decrypted: ${error.message}`;
  if (error instanceof NoKeyFits) return 'is encrypted for other keys than the manifest says';
  return error instanceof TooMuch ? error.message : null;
}

class TooMuch extends Error {}

/** A file that grows beyond what it should be is not worth the disk that it fills. */
async function* watched(
  content: Pieces,
  expectedBytes: number,
  plain: Digest,
  onProgress?: (bytes: number, totalBytes: number) => void,
): Pieces {
  for await (const piece of content) {
    if (plain.bytes > expectedBytes) throw new TooMuch('gives more than Redis wrote');
    onProgress?.(plain.bytes, expectedBytes);
    yield piece;
  }
}

async function digestOf(store: BackupStore, key: string, signal?: AbortSignal): Promise<Digest> {
  const digest = new Digest();
  const passing = digest.of(store.get(key, signal === undefined ? {} : { signal }))[Symbol.asyncIterator]();
  while ((await passing.next()).done !== true);
  return digest;
}
