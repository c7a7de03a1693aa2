/** Asks a leader whether its follower follows it at this moment. */

import type { Redis } from '../connections/redis.js';
import { parseReplication } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import { waking } from './waking.js';

const CHANNEL = 'redis-fleet:alive';
const LOOK_EVERY_MS = 5;
const NEVER = new AbortController().signal;

/**
 * Publishes a word, which moves the replication stream, and waits until one of `witnesses` has acknowledged what came
 * after it. What INFO says of a follower by itself proves nothing: it is up to a second old.
 */
export async function isAcknowledged(
  redis: Redis,
  witnesses: readonly Endpoint[],
  withinMs: number,
): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  const [, before] = await Promise.all([
    redis.publish(CHANNEL, 'alive'),
    redis.info('replication'),
    // Makes the followers say where they are, now and not within a second.
    redis.wait(1, Math.max(1, Math.floor(withinMs))),
  ]);
  const { role, position } = parseReplication(before);
  if (role !== 'leader') return false;
  for (;;) {
    const { replicas } = parseReplication(await redis.info('replication'));
    const arrived = replicas.some(
      (replica) =>
        replica.offset >= position.offset &&
        witnesses.some(({ address, port }) => address === replica.address && port === replica.port),
    );
    if (arrived) return true;
    if (performance.now() >= deadline) return false;
    await waking().pause(LOOK_EVERY_MS, NEVER);
  }
}
