/** The two processes of a hand-over: one connection to each, opened beforehand and never anew within an attempt. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from '../connections/credentials.js';
import { describeRedisError, openRedis, type Redis } from '../connections/redis.js';
import { messageOf } from '../fleet/errors.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import { ADMINISTRATOR_USER } from '../fleet/redisConfig.js';
import type { SideSeen } from '../fleet/switchover.js';

/** Of the connection, and of every command. A process that is well answers within a millisecond. */
const ANSWER_WITHIN_MS = 1_000;
/** A process that ends shuts its connections a moment before its port: whoever connects in between learns nothing. */
const CUT_AGAIN_MS = 25;
const CUT_AGAIN_TIMES = 4;

export interface Side {
  readonly endpoint: Endpoint;
  readonly redis: Redis;
  readonly seen: SideSeen;
}

/**
 * Connects, closes every other connection of an administrator, and looks. An attempt before this one may still live in a
 * worker that was stalled: whatever it does when it wakes, it can reach neither process any more.
 */
export async function openSide(endpoint: Endpoint, credentials: Credentials): Promise<Side> {
  for (let tries = 1; ; tries++) {
    const began = performance.now();
    const { wasLetIn, ...side } = await openOnce(endpoint, credentials);
    const wasCut = side.seen.seen === 'silent' && performance.now() - began < ANSWER_WITHIN_MS / 2;
    // Whoever was let in and is cut may have been cut by the attempt after this one: it must not come back.
    if (wasLetIn || !wasCut || tries > CUT_AGAIN_TIMES) return side;
    side.redis.disconnect();
    await sleep(CUT_AGAIN_MS);
  }
}

async function openOnce(
  endpoint: Endpoint,
  credentials: Credentials,
): Promise<Side & { readonly wasLetIn: boolean }> {
  const redis = openRedis(endpoint, credentials, { timeoutMs: ANSWER_WITHIN_MS });
  let cause: unknown = null;
  let wasLetIn = false;
  redis.on('error', (error) => (cause ??= error));
  try {
    await redis.connect();
    wasLetIn = true;
    await redis.call('CLIENT', 'KILL', 'USER', ADMINISTRATOR_USER, 'SKIPME', 'yes');
    const facts = parseProcessFacts(await redis.info());
    return { endpoint, redis, seen: { seen: 'up', facts }, wasLetIn };
  } catch (error) {
    const why = messageOf(describeRedisError(endpoint, cause ?? error, ANSWER_WITHIN_MS));
    return { endpoint, redis, seen: { seen: isRefused(cause) ? 'gone' : 'silent', why }, wasLetIn };
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
}

/** The answer of a command, if it comes within `ms`. @throws Late */
export async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  // Looked at below; when the time is up first, its failure concerns nobody.
  answer.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Late(ms)), Math.max(0, ms));
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** It was sent, and may still be obeyed. */
export class Late extends Error {
  override readonly name = 'Late';

  constructor(ms: number) {
    super(`there was no answer within ${Math.max(0, Math.round(ms))} ms`);
  }
}

/** Sends commands in one go. @throws the first error among the replies, or that of the connection */
export async function together(
  redis: Redis,
  ...commands: (readonly [name: string, ...parameters: string[]])[]
): Promise<readonly unknown[]> {
  const pipeline = redis.pipeline();
  for (const [name, ...parameters] of commands) pipeline.call(name, ...parameters);
  const replies = (await pipeline.exec()) ?? [];
  for (const [error] of replies) if (error) throw error;
  return replies.map(([, reply]) => reply);
}

/** Of `INFO replication`. Bytes of the stream: what a leader wrote, or what a follower has applied. */
export function offsetIn(replication: unknown): number {
  return Number(/^master_repl_offset:(\d+)/m.exec(String(replication))?.[1] ?? Number.NaN);
}
