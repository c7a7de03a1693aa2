/** Is a backup worth anything? All of it is read back from the store, and then by Redis's own check. */

import { proofKey } from '../fleet/backup.js';
import { isProvenBad, type BackupRef, type BackupVerdict } from '../fleet/backupVerdict.js';
import { readBack, type ReadBackOptions } from './readBack.js';
import { readThrough } from './readThrough.js';
import { putText } from './store/smallObjects.js';
import type { BackupStore } from './store/store.js';

export interface VerifyOptions extends ReadBackOptions {
  /** Default: the one on PATH. */
  readonly redisCheckRdb?: string;
}

/** @throws FleetError when it could not be found out: the store is out of reach, redis-check-rdb is not there */
export async function verifyBackup(
  store: BackupStore,
  ref: BackupRef,
  options: VerifyOptions,
): Promise<BackupVerdict> {
  const { redisCheckRdb = 'redis-check-rdb', signal } = options;
  const read = await readBack(store, ref, options, (file) => readThrough(file, redisCheckRdb, signal));
  if (!read.ok) return read.damage;
  const { manifest, value } = read;
  if (!value.ok) return { kind: 'not loadable', why: value.why };
  return {
    kind: 'sound',
    keys: value.keys,
    plainBytes: manifest.plain.bytes,
    storedBytes: manifest.stored.bytes,
    storedSha256: manifest.stored.sha256,
  };
}

/**
 * Leaves the result beside the backup, in place of an earlier one. A missing key proves nothing, and a backup that is
 * not there gets no proof.
 */
export async function recordVerdict(
  store: BackupStore,
  { fleet, database, id }: BackupRef,
  verdict: BackupVerdict,
  checkedAt: string,
): Promise<void> {
  const sound = proofKey(fleet, database, id, 'sound');
  const unsound = proofKey(fleet, database, id, 'unsound');
  const proof = `${JSON.stringify({ checkedAt, ...verdict })}\n`;
  if (verdict.kind === 'sound') {
    await putText(store, sound, proof);
    await store.remove(unsound);
  } else if (isProvenBad(verdict) && !(verdict.kind === 'no manifest' && verdict.data.length === 0)) {
    // In this order: in between it is never called sound.
    await putText(store, unsound, proof);
    await store.remove(sound);
  }
}
