import { open, stat } from 'node:fs/promises';
import { FleetError } from '../fleet/errors.js';
import type { DataFile } from '../fleet/facts.js';
import { parseRdbHeader, rdbTailProblem, RDB_HEADER_BYTES, RDB_TAIL_BYTES } from '../fleet/rdbFile.js';
import { asDiskError, isMissing } from './diskErrors.js';

/**
 * Reads the head and the tail of an RDB file: a truncated or foreign one is found before it is loaded.
 * @throws NotFound, BadDataFile
 */
export async function inspectDataFile(path: string): Promise<DataFile> {
  try {
    const found = await stat(path);
    // A pipe or a device would keep us waiting.
    if (!found.isFile()) throw badFile(path, 'it is no regular file');
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const head = Buffer.alloc(Math.min(size, RDB_HEADER_BYTES));
      await handle.read(head, 0, head.length, 0);
      const result = parseRdbHeader(head);
      if (!result.ok) throw badFile(path, result.why);
      const tail = Buffer.alloc(Math.min(size, RDB_TAIL_BYTES));
      await handle.read(tail, 0, tail.length, size - tail.length);
      const problem = rdbTailProblem(result.header, tail);
      if (problem !== null) throw badFile(path, `${problem} (${size} bytes)`);
      return { path, bytes: size, header: result.header };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isMissing(error)) {
      throw new FleetError(
        'NotFound',
        `There is no file ${path} on this host. Check the path, and which host holds it.`,
      );
    }
    throw asDiskError(error, path, 'read the data file', 'It is as it was.');
  }
}

function badFile(path: string, why: string): FleetError {
  return new FleetError(
    'BadDataFile',
    `${path} is not a complete RDB file: ${why}. Nothing was loaded or replaced. ` +
      `Use another backup, or let the follower synchronise another way.`,
  );
}
