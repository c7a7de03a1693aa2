/**
 * Putting another data file in place of a stopped process's own, so that it can be undone, and so that a retry
 * after a crash at any point ends in the same state: what was there before the first attempt is kept aside.
 */

import { constants } from 'node:fs';
import { copyFile, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { FleetError } from '../fleet/errors.js';
import type { DataFile, ReplicationPosition } from '../fleet/facts.js';
import { writeEmptyRdb } from '../fleet/rdbFile.js';
import { asDiskError, isMissing } from './diskErrors.js';
import { inspectDataFile } from './inspectDataFile.js';
import {
  linkOver,
  makeDirectory,
  removeIfThere,
  syncDirectory,
  writePrivateFile,
  type ProcessFiles,
} from './layout.js';
import { readDiskAvailable } from './resources.js';

/** What tells a file from every other and from itself after a change. */
type Identity = string;

/** placement.json: written before the data file is replaced. */
interface Placement {
  /** Whose it is: a run of a workflow. */
  readonly run: string;
  readonly previous: 'kept' | 'none';
  /** Files that we put there, with where they came from: every attempt adds one. */
  readonly placed: readonly { readonly file: Identity; readonly source: Identity }[];
}

const COPY_CHUNK_BYTES = 4 * 1024 * 1024;
/** Left free when a backup is copied: logs and configurations need a little. */
const DISK_RESERVE_BYTES = 1024 * 1024;
const KEPT = 'The data file that was there before is as it was, and the half-made copy was removed.';

/**
 * Copies `source` into the process's directory as its data file.
 * @throws NotFound, BadDataFile, DiskFull, InvalidRequest
 */
export async function placeCopy(
  files: ProcessFiles,
  run: string,
  source: string,
  signal?: AbortSignal,
): Promise<DataFile> {
  if (!path.isAbsolute(source)) {
    throw new FleetError(
      'InvalidRequest',
      `file: ${JSON.stringify(source)} is not an absolute path on the host.`,
    );
  }
  const original = await inspectDataFile(source);
  await makeDirectory(files);
  const placement = await readPlacement(files);
  const sourceIdentity = (await identify(source)) ?? source;
  const current = await identify(files.data);
  if (placement?.placed.some(({ file, source: from }) => file === current && from === sourceIdentity)) {
    // An earlier attempt did it all.
    return inspectDataFile(files.data);
  }
  try {
    await copyWhole(source, files.incomingData, original.bytes, signal);
    // The source may have changed while it was copied.
    await inspectDataFile(files.incomingData);
    await putInPlace(files, run, placement, sourceIdentity);
  } catch (error) {
    await rm(files.incomingData, { force: true });
    throw asDiskError(error, files.directory, `copy ${source} (${original.bytes} bytes)`, KEPT);
  }
  return inspectDataFile(files.data);
}

/** An empty data file that stands at `position`. @throws DiskFull */
export async function placeEmpty(
  files: ProcessFiles,
  run: string,
  position: ReplicationPosition,
): Promise<void> {
  await makeDirectory(files);
  const placement = await readPlacement(files);
  const source = `empty at ${position.id}:${position.offset}`;
  const current = await identify(files.data);
  if (placement?.placed.some((placed) => placed.file === current && placed.source === source)) return;
  try {
    await writePrivateFile(files.incomingData, writeEmptyRdb(position));
    await putInPlace(files, run, placement, source);
  } catch (error) {
    await rm(files.incomingData, { force: true });
    throw asDiskError(error, files.directory, 'write an empty data file', KEPT);
  }
}

/** Moves the data file aside, so that the process starts empty. */
export async function setAside(files: ProcessFiles, run: string): Promise<void> {
  await makeDirectory(files);
  const placement = await readPlacement(files);
  const previous = await keepPrevious(files, placement);
  await writePlacement(files, { run, previous, placed: placement?.placed ?? [] });
  await removeIfThere(files.data);
  await syncDirectory(files.directory);
}

/** What was there before the first placement is back; without a placement nothing happens. */
export async function restorePrevious(files: ProcessFiles): Promise<void> {
  const placement = await readPlacement(files);
  if (placement === null) return;
  if (placement.previous === 'none') {
    await removeIfThere(files.data);
  } else {
    try {
      await rename(files.previousData, files.data);
    } catch (error) {
      // An attempt before this one got so far.
      if (!isMissing(error)) throw error;
    }
  }
  await rm(files.incomingData, { force: true });
  await syncDirectory(files.directory);
  await removeIfThere(files.placement);
}

/**
 * Ends what another run left behind: it is over, since this one owns the database now. A data file that it put there
 * stays; where it had only moved the old one aside, that one is back. Call it before anything else.
 */
export async function settleLeftover(files: ProcessFiles, run: string): Promise<void> {
  const placement = await readPlacement(files);
  if (placement === null || placement.run === run) return;
  if ((await identify(files.data)) === null) await restorePrevious(files);
  else await forgetPrevious(files);
}

/** The placement stands: there is no way back to the file before it. */
export async function forgetPrevious(files: ProcessFiles): Promise<void> {
  await removeIfThere(files.placement);
  await removeIfThere(files.previousData);
}

async function putInPlace(
  files: ProcessFiles,
  run: string,
  placement: Placement | null,
  source: Identity,
): Promise<void> {
  const incoming = await identify(files.incomingData);
  if (incoming === null) throw new Error(`${files.incomingData} vanished while it was put in place`);
  const previous = await keepPrevious(files, placement);
  // First the note, then the deed: a retry in between must not take our file for the one before.
  const placed = [...(placement?.placed ?? []), { file: incoming, source }];
  await writePlacement(files, { run, previous, placed });
  await rename(files.incomingData, files.data);
  await syncDirectory(files.directory);
}

/** Keeps the current data file aside, if it is not one that we put there. */
async function keepPrevious(
  files: ProcessFiles,
  placement: Placement | null,
): Promise<Placement['previous']> {
  const current = await identify(files.data);
  if (current === null) {
    // Moved aside by an earlier attempt, or never there.
    return placement?.previous ?? ((await identify(files.previousData)) === null ? 'none' : 'kept');
  }
  if (placement?.placed.some(({ file }) => file === current)) return placement.previous;
  await linkOver(files.data, files.previousData);
  return 'kept';
}

async function copyWhole(
  source: string,
  target: string,
  bytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await rm(target, { force: true });
  if (!(await copiedByReference(source, target))) {
    const available = await readDiskAvailable(path.dirname(target));
    if (available < bytes + DISK_RESERVE_BYTES) {
      throw new FleetError(
        'DiskFull',
        `The disk at ${path.dirname(target)} has ${available} bytes left, and ${source} has ${bytes}: it was not ` +
          `copied. The data file that was there before is as it was. Make room (df -h ${path.dirname(target)}), then retry.`,
      );
    }
    await copyByChunks(source, target, signal);
  }
  const handle = await open(target, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** On file systems that share blocks a copy costs nothing. */
async function copiedByReference(source: string, target: string): Promise<boolean> {
  try {
    await copyFile(source, target, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    await rm(target, { force: true });
    return false;
  }
}

async function copyByChunks(source: string, target: string, signal: AbortSignal | undefined): Promise<void> {
  const from = await open(source, 'r');
  try {
    const to = await open(target, 'w', 0o600);
    try {
      const chunk = Buffer.allocUnsafe(COPY_CHUNK_BYTES);
      for (;;) {
        signal?.throwIfAborted();
        const { bytesRead } = await from.read(chunk, 0, chunk.length, null);
        if (bytesRead === 0) break;
        await writeAll(to, chunk.subarray(0, bytesRead));
      }
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

async function writeAll(to: Awaited<ReturnType<typeof open>>, content: Uint8Array): Promise<void> {
  for (let at = 0; at < content.length;) {
    // A disk that fills up takes a part of it first.
    at += (await to.write(content, at, content.length - at, null)).bytesWritten;
  }
}

async function identify(file: string): Promise<Identity | null> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function readPlacement(files: ProcessFiles): Promise<Placement | null> {
  let text: string;
  try {
    text = await readFile(files.placement, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  // Only `writePlacement` writes it, as a whole or not at all.
  return JSON.parse(text) as Placement;
}

async function writePlacement(files: ProcessFiles, placement: Placement): Promise<void> {
  await writePrivateFile(files.placement, `${JSON.stringify(placement)}\n`);
}
