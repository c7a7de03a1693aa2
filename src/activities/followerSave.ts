/**
 * A data file of a follower, as of now: by BGSAVE under the host's fork permit and with verified headroom, or the one
 * that a save has just left. Never of a leader.
 */

import { Context } from '@temporalio/activity';
import type { Redis } from '../connections/redis.js';
import { withRedis } from '../connections/redis.js';
import { backupId } from '../fleet/backup.js';
import { isSavedSince, unfitToSave, whereabouts } from '../fleet/backupSweep.js';
import type { Whereabouts } from '../fleet/backupSweep.js';
import { FleetError } from '../fleet/errors.js';
import type { DataFile } from '../fleet/facts.js';
import { forkHeadroom } from '../fleet/headroom.js';
import { showSize } from '../fleet/quantities.js';
import { showEndpoint } from '../fleet/record.js';
import { keepForBackup, halfSavedFiles } from '../host/backupState.js';
import type { BackupSave } from '../host/backupState.js';
import { hostMemory } from '../host/hostMemory.js';
import { inspectDataFile } from '../host/inspectDataFile.js';
import { removeIfThere } from '../host/layout.js';
import type { ProcessFiles } from '../host/layout.js';
import type { RedisProcesses } from '../host/processes.js';
import { readDiskAvailable } from '../host/resources.js';
import type { HostSettings } from '../host/settings.js';
import { askToSave, callOffSave, lookAtFollower } from '../host/saving.js';
import type { Look } from '../host/saving.js';
import type { RecordStore } from '../records/databases.js';
import type { SkippedBackup } from './backupContract.js';
import type { RecordActivities } from './contracts.js';

export interface FollowerSaveDependencies {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly records: RecordStore;
  readonly permit: Pick<RecordActivities, 'acquireForkPermit' | 'releaseForkPermit'>;
}

export interface WantedSave {
  readonly database: string;
  readonly files: ProcessFiles;
  /** ISO 8601: when this backup began. */
  readonly started: string;
  /** ISO 8601: a save that somebody else asked for since then will do. */
  readonly since: string;
  /** Without Redis's own compression: the store has a better one. */
  readonly raw: boolean;
  /** What an attempt before this one asked for. */
  readonly before: BackupSave | null;
  /** Kept before the deed, and after it. */
  readonly remember: (save: BackupSave) => Promise<void>;
  readonly onProgress: (keysDone: number, keysTotal: number) => void;
  readonly signal: AbortSignal;
}

export type FollowerSave =
  | { readonly kind: 'saved'; readonly save: BackupSave & { readonly saved: string } }
  | { readonly kind: 'skipped'; readonly why: string; readonly follower: string | null };

type Here = Extract<Whereabouts, { here: true }>;

const PERMIT_WAIT_MS = 300_000;
/** A process that forks a large data set may stall for seconds. */
const ANSWER_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 100;
const FIRST_LOOK_MS = 10;
/** Left free for logs, and for a file that is larger than the last one. */
const DISK_RESERVE_BYTES = 64 * 1024 ** 2;

export function followerSaves(dependencies: FollowerSaveDependencies) {
  const { settings, processes, records, permit } = dependencies;
  const { host, credentials } = settings;

  /** Its role, just now, and the record's epoch. */
  async function whereIs(database: string): Promise<{ readonly at: Whereabouts; readonly epoch: number }> {
    const record = (await records.read(database))?.record ?? null;
    return { at: whereabouts(host, database, record), epoch: record?.epoch ?? 0 };
  }

  async function withFollower<T>(
    at: Here,
    signal: AbortSignal,
    use: (redis: Redis) => Promise<T>,
  ): Promise<T> {
    return withRedis(at.endpoint, credentials, { timeoutMs: ANSWER_TIMEOUT_MS, signal }, use);
  }

  async function untilIdle(at: Here, wanted: WantedSave): Promise<Look> {
    let pauseMs = FIRST_LOOK_MS;
    return withFollower(at, wanted.signal, async (redis) => {
      for (;;) {
        const look = await lookAtFollower(redis);
        if (!look.save.saving) return look;
        wanted.onProgress(look.save.keysDone, look.save.keysTotal);
        await Context.current().sleep(pauseMs);
        pauseMs = Math.min(LOOK_EVERY_MS, pauseMs * 1.5);
      }
    });
  }

  async function requireRoom(wanted: WantedSave, at: Here, { facts }: Look): Promise<void> {
    const memory = await hostMemory(settings, await processes.list());
    const headroom = forkHeadroom(memory, facts.usedMemory);
    if (!headroom.fits) {
      throw new FleetError(
        'NoHeadroom',
        `A fork of ${wanted.database} on ${showEndpoint(at.endpoint)} could need ${showSize(facts.usedMemory)}, and ${host} is ` +
          `${showSize(headroom.short)} short of that. Nothing forked; the backups that there are stay. Make room on ${host}, ` +
          `then run: redis-fleet backups take ${wanted.database}`,
      );
    }
    const available = await readDiskAvailable(settings.data);
    const last = await dataFile(wanted.files);
    const size = wanted.raw ? facts.usedMemory : (last?.bytes ?? facts.usedMemory);
    const needed = size + DISK_RESERVE_BYTES;
    if (available < needed) {
      throw new FleetError(
        'DiskFull',
        `The disk of ${host} at ${settings.data} has ${showSize(available)} left, and a save of ${wanted.database} may need ` +
          `${showSize(needed)}. Nothing forked; the backups that there are stay. Make room (df -h ${settings.data}).`,
      );
    }
  }

  /** Under the permit. null: something else has the process fork; look again. */
  async function fork(wanted: WantedSave): Promise<FollowerSave | null> {
    const { database, files } = wanted;
    const pid = (await processes.find(database))?.pid ?? null;
    const { at, epoch } = await whereIs(database);
    if (!at.here) return { kind: 'skipped', why: at.why, follower: at.follower };
    const leftOver = await halfSavedFiles(files);
    const asked = await withFollower(at, wanted.signal, async (redis) => {
      const look = await lookAtFollower(redis);
      if (look.save.saving) return null;
      await requireRoom(wanted, at, look);
      for (const file of leftOver) await removeIfThere(file);
      const taken = new Date().toISOString();
      const save = { id: backupId(taken, epoch), epoch, started: wanted.started, taken, saved: null };
      await wanted.remember(save);
      // Nothing comes between the last look and the deed.
      const why = unfitToSave(database, at, (await lookAtFollower(redis)).facts);
      if (why !== null) return { why };
      try {
        return (await askToSave(redis, database, at.endpoint, wanted)) === null ? null : save;
      } catch (error) {
        if (pid !== null && error instanceof FleetError && error.kind === 'LeaderForked') callOffSave(pid);
        throw error;
      }
    });
    if (asked === null) return null;
    if ('why' in asked) return { kind: 'skipped', why: asked.why, follower: null };
    try {
      const look = await untilIdle(at, wanted);
      const file = await dataFile(files);
      if (file !== null && isSavedSince(Date.parse(asked.taken), file.header, look.facts)) {
        return await keep(wanted, asked);
      }
      throw new FleetError(
        'FollowerUnfit',
        `The follower of ${database} on ${showEndpoint(at.endpoint)} could not save its data` +
          `${look.save.lastOk ? '' : ' (rdb_last_bgsave_status:err)'}. Its leader was not touched; the backups that there are ` +
          `stay. See ${files.log} on that host.`,
      );
    } catch (error) {
      if (wanted.signal.aborted && pid !== null) callOffSave(pid);
      throw error;
    }
  }

  async function keep(wanted: WantedSave, save: BackupSave): Promise<FollowerSave> {
    await keepForBackup(wanted.files);
    const kept = { ...save, saved: new Date().toISOString() };
    await wanted.remember(kept);
    return { kind: 'saved', save: kept };
  }

  /** A save that runs, or has just ended, instead of one more fork. */
  async function without(wanted: WantedSave, at: Here): Promise<FollowerSave | null> {
    const { database, files, before } = wanted;
    const seenAt = Date.now();
    const first = await withFollower(at, wanted.signal, lookAtFollower);
    const why = unfitToSave(database, at, first.facts);
    if (why !== null) return { kind: 'skipped', why, follower: null };
    const { facts } = first.save.saving ? await untilIdle(at, wanted) : first;
    const file = await dataFile(files);
    if (file === null) return null;
    const { header } = file;
    if (before !== null && isSavedSince(Date.parse(before.taken), header, facts)) return keep(wanted, before);
    const running =
      first.save.saving && isSavedSince(seenAt - (first.save.seconds + 1) * 1_000, header, facts);
    // The file's time is rounded down: only one of a later second is surely of later.
    const fresh = running || isSavedSince(Date.parse(wanted.since) + 999, header, facts);
    if (!fresh || header.createdAt === null) return null;
    const { epoch } = await whereIs(database);
    const taken = new Date(header.createdAt).toISOString();
    return keep(wanted, { id: backupId(taken, epoch), epoch, started: wanted.started, taken, saved: null });
  }

  return {
    /** Of a database whose process does not run here. */
    async notRunning(database: string): Promise<SkippedBackup> {
      const { at } = await whereIs(database);
      if (!at.here) return { how: 'skipped', database, why: at.why, follower: at.follower };
      const why =
        `The follower of ${database} on ${showEndpoint(at.endpoint)} does not run, and its leader on ${at.leader.host} is not ` +
        `made to fork: run redis-fleet bring-up ${database}`;
      return { how: 'skipped', database, why, follower: null };
    },

    /** @throws as `backupHere` */
    async save(wanted: WantedSave): Promise<FollowerSave> {
      const { database } = wanted;
      try {
        for (;;) {
          wanted.signal.throwIfAborted();
          const { at } = await whereIs(database);
          if (!at.here) return { kind: 'skipped', why: at.why, follower: at.follower };
          const there = await without(wanted, at);
          if (there !== null) return there;
          const reason = `backup of ${database}`;
          await permit.acquireForkPermit({ host, database, reason, waitMs: PERMIT_WAIT_MS });
          const forked = await fork(wanted);
          if (forked !== null) return forked;
        }
      } finally {
        // Also one that an attempt before this one took. Whoever cannot reach Consul now loses it when the runbook ends.
        await permit.releaseForkPermit({ host }).catch(() => undefined);
      }
    },
  };
}

async function dataFile(files: ProcessFiles): Promise<DataFile | null> {
  try {
    return await inspectDataFile(files.data);
  } catch (error) {
    if (error instanceof FleetError && (error.kind === 'NotFound' || error.kind === 'BadDataFile'))
      return null;
    throw error;
  }
}
