/** Launches a Redis process that outlives the agent, and waits until it answers or has died. */

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { withRedis } from '../connections/redis.js';
import { FleetError, messageOf, type ErrorKind } from '../fleet/errors.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { asDiskError } from './diskErrors.js';
import { causeOfDeath, logSize, readLastWords } from './lastWords.js';
import type { ProcessFiles } from './layout.js';
import { stillRuns } from './procfs.js';
import type { HostSettings } from './settings.js';

const ANSWER_DEADLINE_MS = 20_000;
const PROBE_TIMEOUT_MS = 1_000;
const PROBE_EVERY_MS = 20;
/** A bad data file shows early in the loading; who waits for a large one does so elsewhere. */
const LOADING_GRACE_MS = 1_000;

/** @returns the pid. @throws ProcessDied, BadDataFile, PortInUse, DiskFull (with its last words), NotFound */
export async function launch(
  settings: HostSettings,
  files: ProcessFiles,
  endpoint: Endpoint,
  signal: AbortSignal | undefined,
): Promise<number> {
  const logFrom = await logSize(files.log);
  const child = spawnDetached(settings, files);
  const death = whenDead(child);
  const pid = child.pid;
  if (pid === undefined) throw notStartable(settings, files, await death);
  await awaitAnswer(settings, files, endpoint, { pid, signal, logFrom, death });
  return pid;
}

function spawnDetached(settings: HostSettings, files: ProcessFiles): ChildProcess {
  let log: number;
  try {
    log = openSync(files.log, 'a', 0o600);
  } catch (error) {
    throw asDiskError(error, files.log, 'open the log', 'Nothing was started.');
  }
  try {
    const child = spawn(settings.redisServer, [files.configuration], {
      cwd: files.directory,
      // Its own session: no signal for the agent, and no terminal's end, reaches it.
      detached: true,
      stdio: ['ignore', log, log],
      // Nothing of the agent's own settings, tokens among them.
      env: { PATH: process.env['PATH'] ?? '', LANG: 'C.UTF-8', TZ: process.env['TZ'] ?? 'UTC' },
    });
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

/** Resolves, never rejects: how it ended, or why it did not begin. */
function whenDead(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(messageOf(error)));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `exit code ${code ?? 'unknown'}` : `killed by ${signal}`),
    );
  });
}

function notStartable(settings: HostSettings, files: ProcessFiles, why: string): FleetError {
  return new FleetError(
    'NotFound',
    `${settings.redisServer} cannot be run on ${settings.host} (${why}), so ${files.database} was not started. ` +
      `Install Redis there, or name the program in REDIS_FLEET_BIN_REDIS_SERVER.`,
  );
}

/**
 * Waits until the process answers, be it that it is loading.
 * @throws ProcessDied and its kin, Unreachable, WrongCredentials
 */
export async function awaitAnswer(
  settings: HostSettings,
  files: ProcessFiles,
  endpoint: Endpoint,
  process: {
    readonly pid: number;
    readonly signal?: AbortSignal | undefined;
    readonly logFrom?: number;
    /** Of our own child. */
    readonly death?: Promise<string>;
  },
): Promise<void> {
  const { pid, signal } = process;
  let ended: string | null = null;
  void process.death?.then((how) => (ended = how));
  const begun = performance.now();
  let trouble: unknown = null;
  while (performance.now() - begun < ANSWER_DEADLINE_MS) {
    signal?.throwIfAborted();
    if (process.death === undefined && !stillRuns(pid, files)) ended = 'nobody saw how';
    if (ended !== null) throw await died(settings, files, ended, process.logFrom ?? 0);
    try {
      const loading = await isLoading(settings, endpoint, signal);
      if (!loading || performance.now() - begun > LOADING_GRACE_MS) return;
    } catch (error) {
      if (!(error instanceof FleetError) || error.kind !== 'Unreachable') throw error;
      trouble = error;
    }
    await pause(PROBE_EVERY_MS);
  }
  throw new FleetError(
    'Unreachable',
    `${files.database} runs on ${settings.host} (pid ${pid}), but gave no answer at ${showEndpoint(endpoint)} for ` +
      `${ANSWER_DEADLINE_MS / 1000} s (${messageOf(trouble)}). It was left running. Look at ${files.log}.`,
  );
}

async function isLoading(
  settings: HostSettings,
  endpoint: Endpoint,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const options = { timeoutMs: PROBE_TIMEOUT_MS, ...(signal ? { signal } : {}) };
  const info = await withRedis(endpoint, settings.credentials, options, (redis) => redis.info('persistence'));
  return /^loading:1/m.test(info);
}

async function died(
  settings: HostSettings,
  files: ProcessFiles,
  how: string,
  logFrom: number,
): Promise<FleetError> {
  const lastWords = await readLastWords(files.log, logFrom);
  const kind = causeOfDeath(lastWords);
  return new FleetError(
    kind,
    `${files.database} died on ${settings.host} while it started (${how}). ${NEXT[kind] ?? NEXT_OTHERWISE} ` +
      `The last words of ${files.log}:\n${lastWords === '' ? '(none)' : lastWords}`,
  );
}

const NEXT_OTHERWISE = 'Its data file is as it was. Mend what the log tells of, then retry.';
const NEXT: Partial<Record<ErrorKind, string>> = {
  BadDataFile:
    'It could not load its data file, which is as it was. Put another backup in its place, then retry.',
  PortInUse: 'Another process took its port. Its data file is as it was. Free the port, then retry.',
  DiskFull: 'The disk is full. Its data file is as it was. Make room, then retry.',
};
