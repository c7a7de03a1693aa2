/**
 * What a backup leaves beside a process while it is under way: where it stands, so that it goes on there after a crash,
 * and the file that it stores. Both are gone when it has ended; what a crash left behind goes with the next sweep.
 */

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { asDiskError, isMissing } from './diskErrors.js';
import { linkOver, listDatabases, processFiles, removeIfThere, writePrivateFile } from './layout.js';
import type { ProcessFiles } from './layout.js';

/** The activity that is at it: what an agent that starts again hands back to Temporal. */
export interface RunningActivity {
  readonly workflowId: string;
  readonly runId: string;
  readonly activityId: string;
}

/** A save that this backup asked for, or that it takes over. Times are ISO 8601. */
export interface BackupSave {
  readonly id: string;
  readonly epoch: number;
  readonly started: string;
  readonly taken: string;
  /** null: it was asked for, and is not known to have ended. */
  readonly saved: string | null;
}

export interface BackupState {
  readonly activity: RunningActivity;
  readonly save: BackupSave | null;
  /** How many attempts failed by themselves: those that were killed do not count. */
  readonly failures: number;
}

/** null: none, or one that nobody can read: it is begun anew then. */
export async function readBackupState(files: ProcessFiles): Promise<BackupState | null> {
  try {
    return parse(await readFile(files.backupState, 'utf8'));
  } catch (error) {
    if (isMissing(error)) return null;
    throw asDiskError(error, files.backupState, 'read the state of a backup', 'Nothing was changed.');
  }
}

export async function writeBackupState(files: ProcessFiles, state: BackupState): Promise<void> {
  await writePrivateFile(files.backupState, JSON.stringify(state));
}

/** The data file as it is now gets a second name, which no later save takes away. */
export async function keepForBackup(files: ProcessFiles): Promise<void> {
  await linkOver(files.data, files.backupData);
}

/** In this order: a file without a state would be nobody's. */
export async function endBackup(files: ProcessFiles): Promise<void> {
  await removeIfThere(files.backupData);
  await removeIfThere(files.backupState);
}

/** The activities that were under way when the agent ended. */
export async function interruptedBackups(data: string): Promise<readonly RunningActivity[]> {
  const found: RunningActivity[] = [];
  for (const database of await listDatabases(data)) {
    const state = await readBackupState(processFiles(data, database)).catch(() => null);
    if (state !== null) found.push(state.activity);
  }
  return found;
}

/** Removes what backups left that nobody goes on with. @param goesOn whether somebody does */
export async function removeOrphans(
  data: string,
  goesOn: (database: string, state: BackupState | null) => boolean,
): Promise<void> {
  for (const database of await listDatabases(data)) {
    const files = processFiles(data, database);
    if (!goesOn(database, await readBackupState(files).catch(() => null))) await endBackup(files);
  }
}

const HALF_SAVED = /^temp-\d+(\.\d+)?\.rdb$/;

/** What saves left whose process was killed. Listed before somebody looks whether one runs. */
export async function halfSavedFiles(files: ProcessFiles): Promise<readonly string[]> {
  try {
    return (await readdir(files.directory))
      .filter((name) => HALF_SAVED.test(name))
      .map((name) => path.join(files.directory, name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function parse(text: string): BackupState | null {
  try {
    const value: unknown = JSON.parse(text);
    if (!isObject(value) || !isObject(value['activity'])) return null;
    const { workflowId, runId, activityId } = value['activity'];
    if (typeof workflowId !== 'string' || typeof runId !== 'string' || typeof activityId !== 'string')
      return null;
    const failures = typeof value['failures'] === 'number' ? value['failures'] : 0;
    return { activity: { workflowId, runId, activityId }, save: parseSave(value['save']), failures };
  } catch {
    return null;
  }
}

function parseSave(value: unknown): BackupSave | null {
  if (!isObject(value)) return null;
  const { id, epoch, started, taken, saved } = value;
  if (typeof id !== 'string' || typeof epoch !== 'number') return null;
  if (typeof started !== 'string' || typeof taken !== 'string') return null;
  if (Number.isNaN(Date.parse(taken)) || (saved !== null && typeof saved !== 'string')) return null;
  return { id, epoch, started, taken, saved };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
