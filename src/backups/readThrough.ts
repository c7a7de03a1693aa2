/** Redis's own reading of an RDB file, key by key, without a server: `redis-check-rdb`, fed through a pipe. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { FleetError } from '../fleet/errors.js';
import type { Pieces } from './store/store.js';

export type ReadThrough =
  { readonly ok: true; readonly keys: number } | { readonly ok: false; readonly why: string };

/** `cat`, because our end of a child's input is a socket, which cannot be opened as /dev/stdin. */
const FEED = 'cat | "$1" /dev/stdin';
const LAST_WORDS_BYTES = 4096;
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/**
 * Needs no disk, and in the other process the memory of the largest key.
 * @param program redis-check-rdb
 * @throws FleetError NotFound (no such program); what reading `file` throws
 */
export async function readThrough(file: Pieces, program: string, signal?: AbortSignal): Promise<ReadThrough> {
  const child = spawn('/bin/sh', ['-c', FEED, 'sh', program], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own, so that all of it can be ended.
    detached: true,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let words = '';
  const hear = (data: Buffer): void => {
    words = (words + data.toString('latin1')).slice(-LAST_WORDS_BYTES);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  // It ends at the first thing that it does not like; its words say what that was.
  child.stdin.on('error', () => undefined);
  try {
    for await (const piece of file) {
      signal?.throwIfAborted();
      // Read to the end nonetheless: the checksum of the whole tells more.
      if (!child.stdin.writable) continue;
      // Until the pipe has taken it: it may be overwritten next.
      const taken = new Promise<void>((resolve) => child.stdin.write(piece, () => resolve()));
      await Promise.race([taken, ended]);
    }
    child.stdin.end();
    const [code, endSignal] = await ended;
    return judge(code, endSignal, words, program);
  } catch (error) {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
    await ended.catch(() => undefined);
    throw error;
  }
}

function judge(
  code: number | null,
  signal: NodeJS.Signals | null,
  words: string,
  program: string,
): ReadThrough {
  if (code === NOT_FOUND || code === NOT_EXECUTABLE) {
    throw new FleetError(
      'NotFound',
      `${program} cannot be run, so that the backup is not verified: it comes with Redis. Install it on this host, or put ` +
        'it on the PATH of the agent; the backup is kept, and checked again.',
    );
  }
  const keys = /\[info\] (\d+) keys read/.exec(words)?.[1];
  if (code === 0 && keys !== undefined && words.includes('RDB looks OK'))
    return { ok: true, keys: Number(keys) };
  const complaint = words
    .split('\n')
    .filter((line) => /\[offset \d+\]|\[additional info\]|error/i.test(line) && !line.includes('AUX FIELD'))
    .slice(-4)
    .map((line) => line.replace(/^\[[^\]]*\]\s*/, '').trim())
    .join('; ');
  return {
    ok: false,
    why: complaint === '' ? `it ended with ${signal ?? `code ${code ?? '?'}`}` : complaint,
  };
}
