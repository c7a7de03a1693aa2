/** Ends a Redis process: by command where it listens, and by signal where it does not and nothing is to be saved. */

import { setTimeout as pause } from 'node:timers/promises';
import { RedisReplyError, withRedis } from '../connections/redis.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import { causeOfDeath, logSize, readLastWords } from './lastWords.js';
import type { ProcessFiles } from './layout.js';
import { stillRuns } from './procfs.js';
import { endpointOf, type HostSettings } from './settings.js';

const ANSWER_TIMEOUT_MS = 2_000;
/** Redis itself waits up to 10 s for followers that lag. */
const SHUTDOWN_DEADLINE_MS = 13_000;
const SIGTERM_DEADLINE_MS = 5_000;
const SIGKILL_DEADLINE_MS = 10_000;
/** A slow disk; saving also waits for whatever else uses it. */
const SAVE_BYTES_PER_MS = 10_000;
const SAVE_DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 20;

interface Stopping {
  readonly pid: number;
  readonly port: number;
  /** Write the data file first, in the foreground: that does not fork. Never followed by a kill. */
  readonly save: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** @throws DiskFull, FollowerUnfit, Unreachable, WrongCredentials: only of `save`, and the process runs on */
export async function shutDown(
  settings: HostSettings,
  files: ProcessFiles,
  stopping: Stopping,
): Promise<void> {
  const endpoint = endpointOf(settings, stopping.port);
  if (stopping.save) return saveAndStop(settings, files, endpoint, stopping);
  const { pid, signal } = stopping;
  const gone = (ms: number): Promise<boolean> => isGone(pid, files, ms, signal);
  try {
    await requireAnswer(settings, endpoint, signal);
    await askToShutDown(settings, endpoint, 'NOSAVE', SHUTDOWN_DEADLINE_MS, signal);
    if (await gone(SHUTDOWN_DEADLINE_MS)) return;
  } catch {
    // It does not obey, or not us: signals follow.
    signal?.throwIfAborted();
  }
  if (send(pid, files, 'SIGTERM') && (await gone(SIGTERM_DEADLINE_MS))) return;
  send(pid, files, 'SIGKILL');
  if (await gone(SIGKILL_DEADLINE_MS)) return;
  throw new FleetError(
    'Unreachable',
    `${files.database} on ${settings.host} (pid ${pid}) does not end, not even by SIGKILL: it hangs in the kernel, ` +
      `most likely on its disk. Look at the disk (dmesg), then retry.`,
  );
}

async function saveAndStop(
  settings: HostSettings,
  files: ProcessFiles,
  endpoint: Endpoint,
  { pid, signal }: Stopping,
): Promise<void> {
  const runsOn = `${files.database} on ${settings.host} (pid ${pid}) was asked to save its data and stop`;
  let usedMemory: number;
  try {
    usedMemory = await requireAnswer(settings, endpoint, signal);
  } catch (error) {
    if (!(error instanceof FleetError) || error.kind !== 'Unreachable') throw error;
    throw new FleetError(
      'Unreachable',
      `${runsOn}, but does not answer: ${error.message} It was not killed, because that would lose what it did not ` +
        `save. Stop it without saving if that may be lost.`,
    );
  }
  const logFrom = await logSize(files.log);
  const deadline = SAVE_DEADLINE_MS + usedMemory / SAVE_BYTES_PER_MS;
  try {
    await askToShutDown(settings, endpoint, 'SAVE', deadline, signal);
  } catch (error) {
    if (!(error instanceof RedisReplyError)) throw error;
    const lastWords = await readLastWords(files.log, logFrom);
    const full = causeOfDeath(lastWords) === 'DiskFull';
    throw new FleetError(
      full ? 'DiskFull' : 'FollowerUnfit',
      `${runsOn}, but could not write its data file${full ? ': the disk is full' : ` (${messageOf(error)})`}. ` +
        `It runs on with all its data, and its older file is as it was. ` +
        `${full ? `Make room (df -h ${files.directory})` : 'Mend what its log tells of'}, then retry. Its log:\n${lastWords}`,
    );
  }
  if (await isGone(pid, files, deadline, signal)) return;
  throw new FleetError(
    'Unreachable',
    `${runsOn}, and is still at it after ${Math.round(deadline / 1000)} s. It was not killed. Look at ${files.log}.`,
  );
}

/** @returns its used memory */
async function requireAnswer(
  settings: HostSettings,
  endpoint: Endpoint,
  signal: AbortSignal | undefined,
): Promise<number> {
  return withRedis(
    endpoint,
    settings.credentials,
    { timeoutMs: ANSWER_TIMEOUT_MS, ...(signal ? { signal } : {}) },
    async (redis) => parseProcessFacts(await redis.info()).usedMemory,
  );
}

async function askToShutDown(
  settings: HostSettings,
  endpoint: Endpoint,
  how: 'SAVE' | 'NOSAVE',
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await withRedis(endpoint, settings.credentials, { timeoutMs, ...(signal ? { signal } : {}) }, (redis) =>
      redis.call('SHUTDOWN', how),
    );
  } catch (error) {
    // It obeys by closing the connection.
    if (error instanceof FleetError && error.kind === 'Unreachable') return;
    throw error;
  }
}

/** SIGKILL, without asking, to that very process. False: it still exists after all that time. */
export async function killNow(pid: number, files: ProcessFiles): Promise<boolean> {
  send(pid, files, 'SIGKILL');
  return isGone(pid, files, SIGKILL_DEADLINE_MS, undefined);
}

/** False when there is nobody to send it to: the pid is another's by now. */
function send(pid: number, files: ProcessFiles, signal: NodeJS.Signals): boolean {
  if (!stillRuns(pid, files)) return true;
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

async function isGone(
  pid: number,
  files: ProcessFiles,
  deadlineMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    if (!stillRuns(pid, files)) return true;
    if (performance.now() >= deadline) return false;
    signal?.throwIfAborted();
    await pause(LOOK_EVERY_MS);
  }
}
