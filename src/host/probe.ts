/** What a process is asked several times a second: as little as says enough. */

import type { Redis } from '../connections/redis.js';
import type { Pulse } from '../fleet/lease.js';
import { parseLife, parseReplication, type ReplicationFacts } from '../fleet/processFacts.js';

/** null: the same as last time, to the letter. */
export async function probeBriefly(
  redis: Redis,
  last: string | null,
): Promise<(ReplicationFacts & { readonly info: string }) | null> {
  const info = await redis.info('replication');
  return info === last ? null : { ...parseReplication(info), info };
}

export interface FullProbe {
  readonly pulse: 'up' | 'loading';
  readonly replication: ReplicationFacts;
  readonly runId: string;
  /** `min-replicas-to-write`: others set it, too, e.g. whoever promotes; null: it does not say. */
  readonly minReplicas: number | null;
}

export async function probeFully(redis: Redis): Promise<FullProbe> {
  const [info, minReplicas] = await Promise.all([
    redis.info('server', 'persistence', 'replication'),
    redis.config('GET', 'min-replicas-to-write').catch(() => null),
  ]);
  const { runId, loading } = parseLife(info);
  return {
    pulse: loading ? 'loading' : 'up',
    replication: parseReplication(info),
    runId,
    minReplicas: Array.isArray(minReplicas) ? Number(minReplicas[1]) : null,
  };
}

/** A follower without its leader may synchronise, and so load, at any time. */
export function isUnsettled({ link }: ReplicationFacts): boolean {
  return link?.up === false;
}

/** Of another host's process: that it is up does not say that it leads. */
export async function probeElsewhere(redis: Redis): Promise<Pulse> {
  try {
    await redis.ping();
    return 'up';
  } catch (error) {
    if (error instanceof Error && /^LOADING\b/.test(error.message)) return 'loading';
    throw error;
  }
}
