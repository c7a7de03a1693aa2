/** A Redis process for once: in a folder of its own, reached through a socket in there and by nobody else. */

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FleetError, messageOf } from '../fleet/errors.js';
import { BLACK_HOLE } from '../fleet/gates.js';
import { DATA_FILE_NAME } from '../fleet/redisConfig.js';
import { readLastWords } from './lastWords.js';
import { findRedis, stillRuns } from './procfs.js';
import type { ProcessFiles } from './layout.js';
import type { HostSettings } from './settings.js';

/** Not a name that a database could have. */
const FOLDER = '.drill';
const SOCKET = 'redis.sock';
const LOOK_EVERY_MS = 20;
const ANSWER_TIMEOUT_MS = 60_000;

export interface Scratch {
  /** Where its data file has to be before it starts. */
  readonly dataFile: string;
  /** Returns when it has loaded the file. @throws BadDataFile: it could not, with its last words */
  start(signal: AbortSignal | undefined): Promise<Redis>;
  /** Ends the process and removes all of it; also what an earlier run left. */
  remove(): Promise<void>;
}

export function scratch(settings: Pick<HostSettings, 'data' | 'redisServer'>): Scratch {
  const directory = path.join(path.resolve(settings.data), FOLDER);
  const file = (name: string): string => path.join(directory, name);
  const log = file('redis.log');
  const place = { directory, pid: file('redis.pid') } as ProcessFiles;
  let open: Redis | null = null;

  return {
    dataFile: file(DATA_FILE_NAME),

    async start(signal) {
      await writeFile(file('redis.conf'), CONFIGURATION, { mode: 0o600 });
      const pid = spawnIn(directory, log, settings.redisServer);
      // By way of its working directory: a socket's whole path may be longer than the kernel takes.
      const redis = new Redis({
        path: `/proc/${pid}/cwd/${SOCKET}`,
        lazyConnect: true,
        enableReadyCheck: false,
        maxRetriesPerRequest: 0,
        retryStrategy: null,
        disableClientInfo: true,
        commandTimeout: ANSWER_TIMEOUT_MS,
      });
      redis.on('error', () => undefined);
      open = redis;
      for (;;) {
        signal?.throwIfAborted();
        if (!stillRuns(pid, place)) throw await notLoaded(log);
        if (await hasLoaded(redis)) return redis;
        await pause(LOOK_EVERY_MS);
      }
    },

    async remove() {
      open?.disconnect();
      open = null;
      for (;;) {
        const pid = findRedis(place);
        if (pid === null) break;
        process.kill(pid, 'SIGKILL');
        await pause(LOOK_EVERY_MS);
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** An empty folder for it. @throws errors of the file system as they are */
export async function makeScratchFolder({ dataFile }: Scratch): Promise<void> {
  await mkdir(path.dirname(dataFile), { recursive: true, mode: 0o700 });
}

/**
 * It listens on no port, follows nobody, and writes nothing; as a follower it keeps what is expired, and stands at the
 * offset of its file. When memory gets short it is the first to go.
 */
const CONFIGURATION = `
port 0
unixsocket ${SOCKET}
unixsocketperm 700
daemonize no
save ""
appendonly no
dbfilename ${DATA_FILE_NAME}
logfile redis.log
pidfile redis.pid
replicaof ${BLACK_HOLE.address} ${BLACK_HOLE.port}
replica-serve-stale-data yes
replica-read-only yes
maxmemory 0
oom-score-adj absolute
oom-score-adj-values 900 900 900
`.trimStart();

function spawnIn(directory: string, log: string, program: string): number {
  const output = openSync(log, 'a', 0o600);
  try {
    const child = spawn(program, ['redis.conf'], {
      cwd: directory,
      stdio: ['ignore', output, output],
      env: { PATH: process.env['PATH'] ?? '', LANG: 'C.UTF-8' },
    });
    // Whether it lives is asked of the kernel.
    child.on('error', () => undefined);
    child.unref();
    if (child.pid !== undefined) return child.pid;
  } finally {
    closeSync(output);
  }
  throw new FleetError(
    'NotFound',
    `${program} cannot be run, so that the backup was not tried out. Install Redis there, or name the program in REDIS_FLEET_BIN_REDIS_SERVER.`,
  );
}

async function hasLoaded(redis: Redis): Promise<boolean> {
  try {
    if (redis.status !== 'ready') await redis.connect();
    return /^loading:0/m.test(await redis.info('persistence'));
  } catch (error) {
    // Its socket is not there yet.
    if (/ENOENT|ECONNREFUSED|closed/i.test(messageOf(error))) return false;
    throw error;
  }
}

async function notLoaded(log: string): Promise<FleetError> {
  const words = await readLastWords(log);
  return new FleetError(
    'BadDataFile',
    `Redis could not load it. Its last words: ${words === '' ? '(none)' : words}`,
  );
}
