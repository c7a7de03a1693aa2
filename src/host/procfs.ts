/** Finding Redis processes by what the kernel says, so that neither a stale pid file nor a reused pid deceives us. */

import { readFileSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { isMissing } from './diskErrors.js';
import type { ProcessFiles } from './layout.js';

/** Children that Redis forks carry such a title, and work in the same directory. */
const FORKED_CHILD = /^redis-(rdb|aof|module)-/;
const PAGE_BYTES = 4096;

/** Every Redis process of the machine, by the directory it works in: looked for once, when somebody first asks. */
export type RunningRedis = () => ReadonlyMap<string, number>;

export function runningRedis(): RunningRedis {
  let found: ReadonlyMap<string, number> | null = null;
  return () => (found ??= scan());
}

function scan(): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const pid of listPids()) {
    const directory = redisDirectory(pid);
    if (directory !== null && !found.has(directory)) found.set(directory, pid);
  }
  return found;
}

/**
 * The pid of the Redis process that runs in a directory, or null.
 * @param running shared by those who look for many at the same moment
 */
export function findRedis(files: ProcessFiles, running = runningRedis()): number | null {
  const directory = realDirectory(files);
  if (directory === null) return null;
  const noted = Number(readText(files.pid)?.trim());
  if (Number.isInteger(noted) && noted > 0 && (isRedisIn(noted, directory) || isEnding(noted))) return noted;
  return running().get(directory) ?? null;
}

/** Whether this pid still is the Redis process of that directory. */
export function stillRuns(pid: number, files: ProcessFiles): boolean {
  const directory = realDirectory(files);
  return directory !== null && isRedisIn(pid, directory);
}

/** Resident bytes; null when the process is gone. */
export function residentMemory(pid: number): number | null {
  const pages = Number(readText(`/proc/${pid}/statm`)?.split(' ')[1]);
  return Number.isFinite(pages) ? pages * PAGE_BYTES : null;
}

/** The command name of a process, without its arguments, which may hold secrets. */
export function commandName(pid: number): string | null {
  return readText(`/proc/${pid}/comm`)?.trim() ?? null;
}

/** Who listens on a port, as far as this user may see. */
export function portHolder(address: string, port: number): { pid: number; command: string } | null {
  const inodes = listeningInodes(address, port);
  if (inodes.size === 0) return null;
  for (const pid of listPids()) {
    if (openSockets(pid).some((inode) => inodes.has(inode)))
      return { pid, command: commandName(pid) ?? 'unknown' };
  }
  return null;
}

function realDirectory(files: ProcessFiles): string | null {
  try {
    return realpathSync(files.directory);
  } catch {
    return null;
  }
}

function isRedisIn(pid: number, directory: string): boolean {
  return redisDirectory(pid) === directory;
}

/** Killed, and the kernel has not closed its sockets yet: for some milliseconds its port is not free. */
function isEnding(pid: number): boolean {
  if (commandName(pid)?.startsWith('redis') !== true) return false;
  try {
    readlinkSync(`/proc/${pid}/cwd`);
    return false;
  } catch (error) {
    if (!isMissing(error)) return false;
  }
  const state = /\) (\S)/.exec(readText(`/proc/${pid}/stat`) ?? '')?.[1];
  return state !== undefined && !'ZX'.includes(state);
}

/** null: it is no Redis server, or one that is ending. */
function redisDirectory(pid: number): string | null {
  // Cheap first: this is asked of every process of the host.
  if (commandName(pid)?.startsWith('redis') !== true) return null;
  try {
    const directory = readlinkSync(`/proc/${pid}/cwd`);
    const title = readText(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') ?? '';
    const program = path.basename(title.split(' ', 1)[0] ?? '');
    return program !== '' && !FORKED_CHILD.test(program) ? directory : null;
  } catch {
    return null;
  }
}

function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** The kernel's socket numbers of who listens on the address, or on all addresses. */
function listeningInodes(address: string, port: number): ReadonlySet<string> {
  const wanted = new Set([hexAddress(address), '00000000', '0'.repeat(32)]);
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of (readText(table) ?? '').split('\n').slice(1)) {
      const [, local = '', , state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
      const [at = '', hexPort = ''] = local.split(':');
      if (state === '0A' && Number.parseInt(hexPort, 16) === port && wanted.has(at)) inodes.add(inode);
    }
  }
  return inodes;
}

/** An IPv4 address as the kernel's table writes it: little-endian. */
function hexAddress(address: string): string {
  return address
    .split('.')
    .reverse()
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase();
}

function openSockets(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        return inode === undefined ? [] : [inode];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
