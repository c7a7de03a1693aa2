/** Where a host's processes live: one directory each, named after the database. */

import { link, mkdir, open, readFile, readdir, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { ProcessSpec } from '../activities/contracts.js';
import { FleetError } from '../fleet/errors.js';
import { nameProblem } from '../fleet/nameRule.js';
import { DATA_FILE_NAME } from '../fleet/redisConfig.js';
import { asDiskError, errorCode, isMissing } from './diskErrors.js';

export interface ProcessFiles {
  readonly database: string;
  readonly directory: string;
  readonly configuration: string;
  readonly users: string;
  readonly data: string;
  readonly log: string;
  readonly pid: string;
  readonly description: string;
  /** The data file before the last placement. */
  readonly previousData: string;
  /** What the last placement put there: tells a retry from a new placement. */
  readonly placement: string;
  readonly incomingData: string;
  /** What a backup of this process is at; there only while one is. */
  readonly backupState: string;
  /** Another name of the data file that is being stored: Redis may put a newer one in its place. */
  readonly backupData: string;
}

/** What a process directory says about itself. */
export interface ProcessDescription {
  readonly host: string;
  readonly address: string;
  readonly process: ProcessSpec;
}

const PRIVATE_FILE = 0o600;
const PRIVATE_DIRECTORY = 0o750;
/** A directory on its way out: not a name that a database could have. */
const REMOVING = '.removing-';

/** @throws InvalidRequest for a name that is no directory of ours */
export function processFiles(data: string, database: string): ProcessFiles {
  const problem = nameProblem(database);
  if (problem !== null) throw new FleetError('InvalidRequest', `database: ${problem}`);
  const directory = path.join(path.resolve(data), database);
  const file = (name: string): string => path.join(directory, name);
  return {
    database,
    directory,
    configuration: file('redis.conf'),
    users: file('users.acl'),
    data: file(DATA_FILE_NAME),
    log: file('redis.log'),
    pid: file('redis.pid'),
    description: file('process.json'),
    previousData: file(`${DATA_FILE_NAME}.previous`),
    placement: file('placement.json'),
    incomingData: file(`${DATA_FILE_NAME}.incoming`),
    backupState: file('backup.json'),
    backupData: file(`${DATA_FILE_NAME}.backup`),
  };
}

/** The databases that have a directory here, described or not. */
export async function listDatabases(data: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path.resolve(data), { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory() && nameProblem(entry.name) === null)
      .map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** null: no process was ever started in this directory. @throws InvalidRequest when it is another database's */
export async function readDescription(files: ProcessFiles): Promise<ProcessDescription | null> {
  let text: string;
  try {
    text = await readFile(files.description, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw asDiskError(error, files.description, 'read a description', 'Nothing was changed.');
  }
  const description = parseDescription(text);
  if (description === null) {
    throw new FleetError(
      'InvalidRequest',
      `${files.description} is not a process description of redis-fleet. Nothing was changed. ` +
        `If ${files.database} shall be set up anew here, move ${files.directory} away first.`,
    );
  }
  if (description.process.database !== files.database) {
    throw new FleetError(
      'InvalidRequest',
      `${files.directory} belongs to the database ${description.process.database}, not to ${files.database} ` +
        `(its process.json says so). Nothing was changed. Move that directory to where it belongs, then retry.`,
    );
  }
  return description;
}

function parseDescription(text: string): ProcessDescription | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(parsed) || !isObject(parsed['process'])) return null;
  const { host, address } = parsed;
  const { database, port, maxmemory, backlogBytes } = parsed['process'];
  if (typeof host !== 'string' || typeof address !== 'string' || typeof database !== 'string') return null;
  if (typeof port !== 'number' || typeof maxmemory !== 'number' || typeof backlogBytes !== 'number')
    return null;
  return { host, address, process: { database, port, maxmemory, backlogBytes } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

export async function makeDirectory(files: ProcessFiles): Promise<void> {
  try {
    await mkdir(files.directory, { recursive: true, mode: PRIVATE_DIRECTORY });
  } catch (error) {
    throw asDiskError(error, files.directory, 'make a directory', 'Nothing was changed.');
  }
}

/** Replaces a file as a whole or not at all; readable by its owner only. @throws DiskFull */
export async function writePrivateFile(file: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${file}.new`;
  try {
    const handle = await open(temporary, 'w', PRIVATE_FILE);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncDirectory(path.dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    throw asDiskError(
      error,
      path.dirname(file),
      `write ${path.basename(file)}`,
      'The file is as it was before.',
    );
  }
}

/** Makes renames and removals in a directory survive a crash of the machine. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** `to` becomes another name of `from`, replacing what it named; where links are not possible, `from` moves. */
export async function linkOver(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  try {
    await link(from, to);
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'].includes(errorCode(error) ?? '')) throw error;
    await rename(from, to);
  }
}

export async function removeIfThere(file: string): Promise<boolean> {
  try {
    await unlink(file);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Removes a whole process directory; a removal that was interrupted is finished. */
export async function removeDirectory(files: ProcessFiles): Promise<void> {
  const leaving = path.join(path.dirname(files.directory), `${REMOVING}${files.database}`);
  await rm(leaving, { recursive: true, force: true });
  try {
    await rename(files.directory, leaving);
  } catch (error) {
    if (isMissing(error)) return;
    throw asDiskError(error, files.directory, 'remove the directory', 'Nothing was removed.');
  }
  await rm(leaving, { recursive: true, force: true });
}
