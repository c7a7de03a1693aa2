import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { FleetError } from '../fleet/errors.js';
import type { DataFile } from '../fleet/facts.js';
import { asDiskError } from '../host/diskErrors.js';
import { inspectDataFile } from '../host/inspectDataFile.js';
import { filePieces } from './filePieces.js';
import type { Pieces } from './store/store.js';

/** An RDB file that is held open: a newer one that Redis puts in its place does not disturb who reads it. */
export interface RdbSource {
  readonly file: DataFile;
  /** All of it. @throws BadDataFile when somebody wrote into it meanwhile */
  pieces(signal?: AbortSignal): Pieces;
  close(): Promise<void>;
}

/** @throws NotFound, BadDataFile */
export async function openRdb(path: string): Promise<RdbSource> {
  const file = await inspectDataFile(path);
  const handle = await open(path, 'r');
  try {
    const [opened, there] = await Promise.all([handle.stat(), stat(path)]);
    if (opened.size !== file.bytes || opened.ino !== there.ino) throw changed(path);
    return {
      file,
      async *pieces(signal) {
        try {
          yield* filePieces(handle, 0, signal);
        } catch (error) {
          throw asDiskError(error, path, 'read the data file', 'It is as it was.');
        }
        if (!(await isAsItWas(handle, opened))) throw changed(path);
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function isAsItWas(handle: FileHandle, then: { size: number; mtimeMs: number }): Promise<boolean> {
  const { size, mtimeMs } = await handle.stat();
  return size === then.size && mtimeMs === then.mtimeMs;
}

function changed(path: string): FleetError {
  return new FleetError(
    'BadDataFile',
    `${path} changed while it was read: something writes into it, or a newer one was put in its place. Nothing of it ` +
      'counts as a backup. Retry.',
  );
}
