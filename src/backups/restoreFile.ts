import { open, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { BackupManifest } from '../fleet/backupManifest.js';
import { verdictText, type BackupDamage, type BackupRef } from '../fleet/backupVerdict.js';
import { FleetError, type ErrorKind } from '../fleet/errors.js';
import { asDiskError } from '../host/diskErrors.js';
import { syncDirectory } from '../host/layout.js';
import { writePieces } from './filePieces.js';
import { readBack, type ReadBackOptions } from './readBack.js';
import type { BackupStore, Pieces } from './store/store.js';

const KEPT = 'The half-made file was removed, and what was there before is as it was.';

/**
 * Writes the file that Redis wrote to `target`, which is replaced at once when all of it is there and was checked, and
 * not touched otherwise.
 * @throws DamagedBackup (BadDataFile, WrongCredentials where no key fits, NotFound); FleetError DiskFull, Unreachable
 */
export async function restoreFile(
  store: BackupStore,
  ref: BackupRef,
  target: string,
  options: ReadBackOptions,
): Promise<BackupManifest> {
  // One name for all attempts: what a killed one left is written over.
  const incoming = path.join(path.dirname(target), `.${path.basename(target)}.incoming`);
  try {
    const read = await readBack(store, ref, options, async (file, manifest) => {
      await checkRoom(target, manifest.plain.bytes);
      await writeSafely(incoming, file, options.signal);
    });
    if (!read.ok) throw new DamagedBackup(ref, read.damage);
    await rename(incoming, target);
    await syncDirectory(path.dirname(target));
    return read.manifest;
  } catch (error) {
    await rm(incoming, { force: true }).catch(() => undefined);
    throw asDiskError(error, target, `restore backup ${ref.id} of ${ref.database}`, KEPT);
  }
}

/** The backup is not what it must be, or cannot be read with the keys at hand. */
export class DamagedBackup extends FleetError {
  constructor(
    ref: BackupRef,
    readonly damage: BackupDamage,
  ) {
    super(KINDS[damage.kind] ?? 'BadDataFile', verdictText(ref, damage));
  }
}

const KINDS: Partial<Record<BackupDamage['kind'], ErrorKind>> = {
  'no manifest': 'NotFound',
  'no data': 'NotFound',
  'wrong key': 'WrongCredentials',
};

async function writeSafely(file: string, content: Pieces, signal: AbortSignal | undefined): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await writePieces(handle, content, signal);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Found out before, and not after an hour. */
async function checkRoom(target: string, bytes: number): Promise<void> {
  const directory = path.dirname(target);
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize >= bytes) return;
  throw new FleetError(
    'DiskFull',
    `The disk at ${directory} has ${bavail * bsize} bytes left, and the backup needs ${bytes}: nothing was restored, and ` +
      `what was there before is as it was. Make room (df -h ${directory}), then retry.`,
  );
}
