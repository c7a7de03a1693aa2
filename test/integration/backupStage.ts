/** What tests of backups stand on: an S3 server, a network between that can be cut, and RDB files that Redis wrote. */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import type { TestContext } from 'vitest';
import { backupId } from '../../src/fleet/backup.js';
import type { BackupRef } from '../../src/fleet/backupVerdict.js';
import { FleetError } from '../../src/fleet/errors.js';
import type { BackupForm, BackupJob } from '../../src/backups/storeBackup.js';
import { openStore } from '../../src/backups/store/openStore.js';
import type { BackupStore } from '../../src/backups/store/store.js';
import { findBinary } from '../../src/dev/binaries.js';
import { freePorts, startGuarded } from '../../src/testbed/guardedProcess.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { BackupWord, BackupWork } from './backupProcess.js';

export const ACCESS_KEY = 'TESTACCESSKEY';
export const SECRET_KEY = 'TESTSECRETKEY';
export const BUCKET = 'backups';
const ADDRESS = '127.0.0.1';

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(path.join(os.tmpdir(), 'redis-fleet-backups-'));
}

export interface S3Server {
  readonly port: number;
  /** Objects lie here as files, so that a test can damage them. */
  readonly folder: string;
  fileOf(key: string): string;
  /** A store at this server, or at another port before it. */
  store(options?: {
    readonly port?: number;
    readonly bucket?: string;
    readonly silenceMs?: number;
  }): Promise<BackupStore>;
  end(): Promise<void>;
}

/** rclone's S3 server over `folder`. Sets the credentials that the AWS SDK finds. */
export async function startS3(folder: string): Promise<S3Server> {
  await mkdir(path.join(folder, BUCKET), { recursive: true });
  const [port = 0] = await freePorts(ADDRESS, 1);
  const server = await startGuarded('rclone', [
    'serve',
    's3',
    '--addr',
    `${ADDRESS}:${port}`,
    '--auth-key',
    `${ACCESS_KEY},${SECRET_KEY}`,
    '--config',
    '/dev/null',
    folder,
  ]);
  setCredentials(ACCESS_KEY, SECRET_KEY);
  await waitFor(() => canConnect(port), {
    deadlineMs: 20_000,
    what: `the S3 server on port ${port} (${server.lastWords()})`,
  });
  return {
    port,
    folder,
    fileOf: (key) => path.join(folder, BUCKET, key),
    store: ({ port: at = port, bucket = BUCKET, silenceMs = 5_000 } = {}) =>
      openStore(`s3://${bucket}?endpoint=http://${ADDRESS}:${at}&region=us-east-1`, {
        base: folder,
        patience: { connectMs: 1_000, silenceMs, attempts: 2 },
      }),
    end: () => server.end(),
  };
}

/** Of this process; the SDK reads them when a store is first used. */
export function setCredentials(accessKey: string, secretKey: string): void {
  process.env['AWS_ACCESS_KEY_ID'] = accessKey;
  process.env['AWS_SECRET_ACCESS_KEY'] = secretKey;
}

async function canConnect(port: number): Promise<boolean> {
  const socket = connect(port, ADDRESS);
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

/** How a network misbehaves, in bytes that passed in that direction over all connections. */
export interface Trouble {
  /** Connections end when so many bytes were sent to the server. */
  readonly cutAfterSent?: number;
  /** Connections end when so many bytes were received from it; then all is well again. */
  readonly cutOnceAfterReceived?: number;
  /** Nothing passes any more after so many bytes were received. */
  readonly silentAfterReceived?: number;
}

export interface Network {
  readonly port: number;
  sent(): number;
  trouble(trouble: Trouble): void;
  close(): void;
}

export async function startNetwork(target: number): Promise<Network> {
  const sockets = new Set<Socket>();
  let sent = 0;
  let received = 0;
  let trouble: Trouble = {};
  const server = createServer((near) => {
    const far = connect(target, ADDRESS);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    const cut = (): void => {
      near.destroy();
      far.destroy();
    };
    near.on('data', (data) => {
      sent += data.length;
      if (sent > (trouble.cutAfterSent ?? Number.POSITIVE_INFINITY)) cut();
      else if (!far.write(data)) {
        near.pause();
        far.once('drain', () => near.resume());
      }
    });
    far.on('data', (data) => {
      received += data.length;
      if (received > (trouble.silentAfterReceived ?? Number.POSITIVE_INFINITY)) return;
      if (received > (trouble.cutOnceAfterReceived ?? Number.POSITIVE_INFINITY)) {
        trouble = {};
        cut();
      } else if (!near.write(data)) {
        far.pause();
        near.once('drain', () => far.resume());
      }
    });
  });
  server.listen(0, ADDRESS);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sent: () => sent,
    trouble(next) {
      sent = 0;
      received = 0;
      trouble = next;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** An RDB file of about `megabytes`, in `folder`. */
export async function writeRdb(
  folder: string,
  { megabytes, keys, name = 'dump.rdb' }: { megabytes: number; keys: number; name?: string },
): Promise<string> {
  const [port = 0] = await freePorts(ADDRESS, 1);
  const server = await startGuarded(findBinary('redis-server', process.env), [
    ...['--port', String(port), '--bind', ADDRESS, '--dir', folder, '--dbfilename', name],
    ...['--save', '', '--rdbcompression', 'no'],
  ]);
  const redis = new Redis(port, ADDRESS, { lazyConnect: true, retryStrategy: () => 50 });
  redis.on('error', () => undefined);
  try {
    await waitFor(async () => (await redis.dbsize()) === 0, {
      deadlineMs: 30_000,
      what: 'Redis to answer',
    });
    const bytes = Math.floor((megabytes * 1024 ** 2) / keys);
    // A third of each value does not compress.
    await redis.eval(
      `local words = string.rep('a word and another ', math.ceil(ARGV[2] / 19))
       for i = 1, tonumber(ARGV[1]) do
         local noise = {}
         for j = 1, ARGV[2] / 120 do noise[j] = redis.sha1hex(i .. ':' .. j) end
         redis.call('SET', 'key:' .. i, string.sub(table.concat(noise) .. words, 1, ARGV[2]))
       end`,
      0,
      keys,
      bytes,
    );
    await redis.save();
  } finally {
    redis.disconnect();
    await server.end();
  }
  return path.join(folder, name);
}

export const PLAIN: BackupForm = { compression: null, recipients: [], bytesPerSecond: null };
export const COMPRESSED: BackupForm = { compression: { level: 3 }, recipients: [], bytesPerSecond: null };

export function jobFor(file: string, takenAt = '2026-11-23T12:00:00.000Z', epoch = 7): BackupJob {
  return {
    fleet: 'demo',
    database: 'sessions-00',
    id: backupId(takenAt, epoch),
    file,
    epoch,
    times: { started: takenAt, taken: takenAt, saved: takenAt },
    from: { host: 'redis-01-b', port: 6300 },
  };
}

export function refOf({ fleet, database, id }: BackupRef): BackupRef {
  return { fleet, database, id };
}

/** What was thrown, which must be an error of ours. */
export async function trouble(work: Promise<unknown>): Promise<FleetError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof FleetError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

export interface BackupRun {
  readonly child: ChildProcess;
  /** What it said so far. */
  readonly words: readonly BackupWord[];
  /** The last word of one that ended well. */
  result(): Promise<Extract<BackupWord, { done: true }>>;
}

/** Does `work` in a process of its own. */
export function runBackup(work: BackupWork, env: Partial<Record<string, string>> = {}): BackupRun {
  const runner = path.resolve('node_modules/vite-node/vite-node.mjs');
  const script = path.join(import.meta.dirname, 'backupProcess.ts');
  const child = spawn(process.execPath, [runner, '--script', script, JSON.stringify(work)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const words: BackupWord[] = [];
  createInterface(child.stdout).on('line', (line) => words.push(JSON.parse(line) as BackupWord));
  let errors = '';
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  const ended = once(child, 'close');
  return {
    child,
    words,
    async result() {
      await ended;
      const last = words.at(-1);
      if (last === undefined || !('done' in last)) throw new Error(`it did not end well: ${errors}`);
      return last;
    },
  };
}

/** A disk of its own, with very little room. Skips the test where that cannot be. */
export async function mountSmall(
  at: string,
  size: string,
  context: TestContext,
): Promise<{ readonly folder: string; unmount(): void }> {
  await mkdir(at);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', at], { stdio: 'pipe' });
  } catch {
    context.skip('mounting a small file system needs root');
  }
  return { folder: at, unmount: () => void execFileSync('umount', [at]) };
}
