/**
 * The whole of one database's backup, beside its follower: save, store, verify, record, expire. One activity, because
 * each costs. A crash at any point loses what that point was at, and no more.
 */

import { stat } from 'node:fs/promises';
import { activityInfo, ApplicationFailure, Context } from '@temporalio/activity';
import type { BackupAccess } from '../backups/access.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { BackupSettings } from '../fleet/fleet.js';
import { endBackup, readBackupState, removeOrphans, writeBackupState } from '../host/backupState.js';
import type { BackupSave, BackupState } from '../host/backupState.js';
import { exclusiveByDatabase } from '../host/exclusive.js';
import { isMissing } from '../host/diskErrors.js';
import type { ProcessFiles } from '../host/layout.js';
import { withoutSecrets } from '../connections/redaction.js';
import type { FleetStore } from '../records/fleet.js';
import type { BackupHostActivities, BackupOutcome, BackupStage } from './backupContract.js';
import { inOrder } from './arrivals.js';
import { backupStoring, type BackupStoringDependencies, type Job } from './backupStoring.js';
import { requireReadable } from '../backups/readable.js';
import { followerSaves, type FollowerSaveDependencies } from './followerSave.js';

export interface HostBackupDependencies extends FollowerSaveDependencies, BackupStoringDependencies {
  readonly fleet: FleetStore;
  readonly access: BackupAccess;
}

/** Attempts that fail by themselves; those that were killed do not count. */
const MOST_FAILURES = 3;

export function hostBackupActivities(dependencies: HostBackupDependencies): BackupHostActivities {
  const { settings, processes, fleet, backups, access } = dependencies;
  const { host } = settings;
  const saves = followerSaves(dependencies);
  const storing = backupStoring(dependencies);
  const exclusive = exclusiveByDatabase();
  /** One fork, and one stream, at a time: the next database forks while this one's file is stored. */
  const turn = exclusiveByDatabase();
  const active = new Set<string>();
  const order = inOrder();

  async function readSettings(): Promise<BackupSettings> {
    return (await fleet.applied('nothing was backed up')).backups;
  }

  async function saved(job: Job, state: BackupState): Promise<BackupSave | BackupOutcome> {
    const { database, files, tell, signal } = job;
    if (state.save?.saved != null && (await isThere(files.backupData))) return state.save;
    tell('its turn to fork');
    const forked = turn('fork', async (): Promise<BackupSave | BackupOutcome> => {
      signal.throwIfAborted();
      tell('saving');
      const found = await saves.save({
        database,
        files,
        started: state.save?.started ?? new Date().toISOString(),
        since: job.since,
        raw: job.settings.compression !== 'off',
        before: state.save,
        remember: (save) => writeBackupState(files, { ...state, save }),
        onProgress: (done, total) => tell('saving', done, total),
        signal,
      });
      if (found.kind === 'saved') return found.save;
      await endBackup(files);
      return { how: 'skipped', database, why: found.why, follower: found.follower };
    });
    order.gone(currentRun(), database);
    return forked;
  }

  async function whole(job: Job, state: BackupState): Promise<BackupOutcome> {
    const save = await saved(job, state);
    if ('how' in save) return save;
    job.tell('its turn to be stored');
    return turn('store', async () => {
      job.signal.throwIfAborted();
      const verified = await storing.store(job, save);
      await endBackup(job.files);
      return verified;
    });
  }

  async function alreadyVerified(database: string, since: string): Promise<BackupOutcome | null> {
    const known = await backups.read(database);
    if (known === null || Date.parse(known.at) < Date.parse(since)) return null;
    const { id, at, keys, plainBytes, storedBytes } = known;
    const figures = { id, at, host: known.host, keys, plainBytes, storedBytes };
    return { how: 'verified', database, ...figures, already: true, expired: 0, untidy: null };
  }

  /** Where it stands, written before anything is done: an agent that is killed from here on hands it back. */
  async function begin(files: ProcessFiles): Promise<BackupState> {
    const { activityId, workflowExecution } = activityInfo();
    const { workflowId = '', runId = '' } = workflowExecution ?? {};
    const before = await readBackupState(files);
    const isOurs = before?.activity.runId === runId && before.activity.workflowId === workflowId;
    const rest = isOurs ? { save: before.save, failures: before.failures } : { save: null, failures: 0 };
    const state: BackupState = { activity: { workflowId, runId, activityId }, ...rest };
    await writeBackupState(files, state);
    await removeOrphans(
      settings.data,
      (database, other) => active.has(database) || (other !== null && other.activity.runId === runId),
    );
    return state;
  }

  async function backUp(database: string, since: string): Promise<BackupOutcome> {
    const { cancellationSignal: signal } = Context.current();
    signal.throwIfAborted();
    const files = await processes.ownFiles(database);
    const found = await processes.find(database);
    if (found?.state !== 'running') {
      if (found !== null) await endBackup(files);
      return (await alreadyVerified(database, since)) ?? (await saves.notRunning(database));
    }
    const state = await begin(files);
    try {
      const already = await alreadyVerified(database, since);
      if (already !== null) {
        await endBackup(files);
        return already;
      }
      const [wanted, keyring] = await Promise.all([readSettings(), access.keyring()]);
      requireReadable(host, wanted, keyring);
      const tell = teller(database);
      return await access.withStore(wanted.store, (store) =>
        whole({ database, since, files, settings: wanted, keyring, store, tell, signal }, state),
      );
    } catch (error) {
      throw signal.aborted ? error : await failed(files, error);
    }
  }

  return {
    backupHere: async ({ database, since, after }) => {
      active.add(database);
      await order.after(currentRun(), after);
      return exclusive(database, async () => {
        // Another attempt at it may have ended meanwhile.
        active.add(database);
        try {
          return await backUp(database, since);
        } finally {
          active.delete(database);
          order.gone(currentRun(), database);
        }
      });
    },
  };
}

function currentRun(): string {
  return activityInfo().workflowExecution?.runId ?? '';
}

/** After as many as that it is not tried again: the other databases wait. */
async function failed(files: ProcessFiles, error: unknown): Promise<unknown> {
  const state = await readBackupState(files).catch(() => null);
  const failures = (state?.failures ?? 0) + 1;
  const mayPass = !(error instanceof FleetError) || error.retryable;
  if (state !== null && mayPass && failures < MOST_FAILURES) {
    await writeBackupState(files, { ...state, failures }).catch(() => undefined);
    return error;
  }
  await endBackup(files).catch(() => undefined);
  const kind = error instanceof FleetError ? error.kind : error instanceof Error ? error.name : 'Error';
  return ApplicationFailure.nonRetryable(withoutSecrets(messageOf(error)), kind);
}

function teller(database: string): Job['tell'] {
  const context = Context.current();
  return (stage, done = 0, total = 0) => {
    context.heartbeat({ stage, database, done, total } satisfies BackupStage);
  };
}

async function isThere(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
