/** The few commands that make a process a leader, over a connection that its caller holds open. */

import type { Redis } from 'ioredis';
import { FleetError } from '../fleet/errors.js';

/**
 * Makes a process lead and take writes, or finds that it does. One round trip. The caller has made sure that nobody
 * else leads, and sets the record.
 * @throws FollowerUnfit when it answered and does not lead all the same; errors of the connection as they are
 */
export async function takeTheLead(redis: Redis): Promise<void> {
  const replies = await redis
    .pipeline()
    // First: what once fenced it must not keep its first writes out.
    .config('SET', 'min-replicas-to-write', 0)
    .replicaof('NO', 'ONE')
    .role()
    .exec();
  const [fence, promotion, role] = replies ?? [];
  for (const [error] of [fence ?? [null], promotion ?? [null], role ?? [null]]) if (error) throw error;
  if (leads(role?.[1])) return;
  throw new FleetError(
    'FollowerUnfit',
    `A process was told to lead and says of itself ${JSON.stringify(role?.[1] ?? null)}. Look at its redis.log.`,
  );
}

/** Of the answer to ROLE. */
export function leads(role: unknown): boolean {
  return Array.isArray(role) && role[0] === 'master';
}
