/** Backups in a directory: on a disk of their own, or a network file system that all hosts mount. */

import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { FleetError, messageOf } from '../../fleet/errors.js';
import type { StoredObject } from '../../fleet/backup.js';
import { asDiskError, errorCode, isMissing } from '../../host/diskErrors.js';
import { filePieces, writePieces } from '../filePieces.js';
import { syncDirectory } from '../../host/layout.js';
import { checkKey } from './keys.js';
import type { BackupStore, GetOptions, Pieces, Put, PutOptions } from './store.js';

/** No key begins with a dot, so that none can be taken for one that is still being written. */
const UNFINISHED = '.unfinished-';
const KEPT = 'What was in the store before is as it was, and the half-made file was removed.';

/** @param directory is made when something is first put there */
export function directoryStore(directory: string): BackupStore {
  const root = path.resolve(directory);
  const name = `file:${root}`;
  const fileOf = (key: string): string => path.join(root, checkKey(key));

  return {
    name,

    /**
     * An attempt that was broken off is not gone on with: its content has to be read, compressed and hashed again
     * anyway, and comparing it with what lies there costs as much as writing it.
     */
    async put(key, content, { signal }: PutOptions = {}): Promise<Put> {
      const target = fileOf(key);
      const unfinished = path.join(
        path.dirname(target),
        `${UNFINISHED}${path.basename(target)}.${randomBytes(6).toString('hex')}`,
      );
      try {
        await makeDirectories(path.dirname(target));
        const handle = await open(unfinished, 'wx', 0o600);
        let bytes: number;
        try {
          bytes = await writePieces(handle, content, signal);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(unfinished, target);
        await syncDirectory(path.dirname(target));
        return { bytes, resumedBytes: 0 };
      } catch (error) {
        await rm(unfinished, { force: true }).catch(() => undefined);
        throw diskError(error, path.dirname(target), `store ${key}`, KEPT);
      }
    },

    async *get(key, { from = 0, signal }: GetOptions = {}): Pieces {
      const file = fileOf(key);
      try {
        const handle = await open(file, 'r');
        try {
          yield* filePieces(handle, from, signal);
        } finally {
          await handle.close();
        }
      } catch (error) {
        if (isMissing(error)) throw missing(key, name);
        throw diskError(error, file, `read ${key}`, 'The store is as it was.');
      }
    },

    async stat(key) {
      const file = fileOf(key);
      try {
        const found = await stat(file);
        return found.isFile() ? describe(key, found) : null;
      } catch (error) {
        if (isMissing(error) || errorCode(error) === 'ENOTDIR') return null;
        throw diskError(error, file, `look at ${key}`, 'The store is as it was.');
      }
    },

    async *list(prefix) {
      const found: StoredObject[] = [];
      await walk(root, '', prefix, async (key, file) => {
        if (path.basename(key).startsWith('.') || !key.startsWith(prefix)) return;
        const entry = await statIfThere(file);
        if (entry !== null) found.push(describe(key, entry));
      });
      yield* found.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    },

    async remove(key) {
      const file = fileOf(key);
      try {
        await rm(file, { force: true });
        await syncDirectory(path.dirname(file)).catch((error: unknown) => {
          if (!isMissing(error)) throw error;
        });
      } catch (error) {
        throw diskError(error, file, `remove ${key}`, 'It may still be there.');
      }
    },

    async sweepUnfinished(prefix, olderThanMs) {
      let removed = 0;
      await walk(root, '', prefix, async (key, file) => {
        if (!path.basename(key).startsWith(UNFINISHED)) return;
        const entry = await statIfThere(file);
        if (entry === null || entry.mtimeMs > Date.now() - olderThanMs) return;
        await rm(file, { force: true });
        removed += 1;
      });
      return removed;
    },

    close() {
      // Nothing is held open between calls.
    },
  };
}

async function makeDirectories(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  // What was made is safe only when its parent is: from the first one that was there already.
  const made = path.relative(path.dirname(first), directory).split(path.sep);
  for (let at = 0; at < made.length; at++) {
    await syncDirectory(path.join(path.dirname(first), ...made.slice(0, at)));
  }
}

type Entry = Awaited<ReturnType<typeof stat>>;

function describe(key: string, { size, mtime }: Entry): StoredObject {
  return { key, bytes: Number(size), modifiedAt: mtime.toISOString() };
}

async function statIfThere(file: string) {
  try {
    return await stat(file);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Every file below `directory` that can have `prefix`. */
async function walk(
  root: string,
  below: string,
  prefix: string,
  visit: (key: string, file: string) => Promise<void>,
): Promise<void> {
  let entries;
  try {
    entries = await readdir(path.join(root, below), { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return;
    throw diskError(error, path.join(root, below), 'list the store', 'It is as it was.');
  }
  for (const entry of entries) {
    const key = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      const within = `${key}/`;
      if (within.startsWith(prefix) || prefix.startsWith(within)) await walk(root, key, prefix, visit);
    } else if (entry.isFile()) {
      await visit(key, path.join(root, key));
    }
  }
}

function missing(key: string, store: string): FleetError {
  return new FleetError(
    'NotFound',
    `There is no ${key} in ${store}. List what there is: redis-fleet backups list.`,
  );
}

const GONE_AWAY = new Set(['EIO', 'ESTALE', 'ETIMEDOUT', 'EHOSTDOWN', 'ENOTCONN']);

function diskError(error: unknown, where: string, what: string, kept: string): unknown {
  const code = errorCode(error) ?? '';
  if (GONE_AWAY.has(code)) {
    return new FleetError(
      'Unreachable',
      `The disk or network file system at ${where} does not answer (${messageOf(error)}): could not ${what}. ${kept} ` +
        `See that it is mounted and well (dmesg, df -h ${where}), then retry.`,
      { cause: error },
    );
  }
  return asDiskError(error, where, what, kept);
}
