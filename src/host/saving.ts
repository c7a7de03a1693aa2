/** Making a follower save its data in the background, and the look at one that does. */

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import type { Redis } from '../connections/redis.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { parseProcessFacts, parseSave } from '../fleet/processFacts.js';
import type { SaveFacts } from '../fleet/processFacts.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { showEndpoint } from '../fleet/record.js';
import type { Endpoint } from '../fleet/record.js';
import { commandName } from './procfs.js';

/** null: another child of the process is in the way. */
export type Asked = 'saving' | null;

/**
 * BGSAVE, and with it the process's own word on what it was then: between the last look and this nobody can have
 * promoted it unnoticed. Not in a transaction, which would put the fork off to some later moment.
 * @param raw without Redis's own compression, for somebody who compresses better afterwards, and with less of the fork's time.
 * Only this save: its process has the setting of the moment of its fork
 * @throws LeaderForked when it had become a leader; FollowerUnfit when it refuses
 */
export async function askToSave(
  redis: Redis,
  database: string,
  endpoint: Endpoint,
  { raw }: { readonly raw: boolean },
): Promise<Asked> {
  const pipeline = redis.pipeline();
  if (raw) pipeline.config('SET', 'rdbcompression', 'no');
  pipeline.role().bgsave();
  if (raw) pipeline.config('SET', 'rdbcompression', 'yes');
  const replies = (await pipeline.exec()) ?? [];
  const [roleReply, saveReply] = raw ? replies.slice(1) : replies;
  const failure = saveReply?.[0] ?? null;
  if (failure !== null) {
    if (/already in progress|another child|can't BGSAVE/i.test(failure.message)) return null;
    throw new FleetError(
      'FollowerUnfit',
      `The follower of ${database} on ${showEndpoint(endpoint)} does not save: ${messageOf(failure)}. Nothing forked. See ` +
        'its redis.log.',
    );
  }
  const role: unknown = Array.isArray(roleReply?.[1]) ? roleReply[1][0] : null;
  if (role === 'slave') return 'saving';
  throw new FleetError(
    'LeaderForked',
    `${database} on ${showEndpoint(endpoint)} was made a leader in the very moment in which it was asked to save, and ` +
      'forked as one. The save was called off; its data is as it was. The next backup is taken on its new follower.',
  );
}

/** Calls a save off: the process keeps the file that it had. */
export function callOffSave(pid: number): void {
  for (const child of childrenOf(pid)) {
    if (commandName(child)?.startsWith('redis') !== true) continue;
    try {
      process.kill(child, 'SIGUSR1');
    } catch {
      // It has ended.
    }
  }
}

/**
 * When memory ends, the kernel shall take a process's children and not the process: also when nobody is left who would
 * call them off.
 */
export function takeChildrenFirst(pid: number): void {
  for (const child of childrenOf(pid)) {
    try {
      writeFileSync(`/proc/${child}/oom_score_adj`, '1000');
    } catch {
      // It has ended.
    }
  }
}

export interface Look {
  readonly facts: ProcessFacts;
  readonly save: SaveFacts;
}

export async function lookAtFollower(redis: Redis): Promise<Look> {
  const info = await redis.info();
  return { facts: parseProcessFacts(info), save: parseSave(info) };
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').map(Number).filter(Boolean),
    );
  } catch {
    return [];
  }
}
