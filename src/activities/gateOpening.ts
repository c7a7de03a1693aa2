/**
 * Opening the gate of one process for one follower, apart from the waiting before: writes are paused in between.
 * 1 the follower asks, and waits; 2 nobody new may ask; 3 nobody else waits; 4 the gate opens until the fork has begun;
 * 5 it is shut again, whatever happened.
 */

import type { Redis } from '../connections/redis.js';
import { FleetError } from '../fleet/errors.js';
import {
  GATE_A_OPEN_DELAY,
  GATE_A_SHUT,
  isPointedAt,
  linkTo,
  othersWaiting,
  REPLICATION_USER,
} from '../fleet/gates.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { ForkBaseline } from './contracts.js';
import { pollUntil } from './polling.js';
import type { RedisAccess } from './redisAccess.js';

export interface Gate {
  readonly access: RedisAccess;
  readonly source: ForkBaseline;
  readonly follower: Endpoint;
}

const ASKS_WITHIN_MS = 30_000;
const FORKS_WITHIN_MS = 10_000;

/** Steps 1 to 3; shut the gates afterwards in any case. @returns Redis's word for the follower's link. @throws FollowerUnfit, LeaderUnfit */
export async function waitsAlone({ access, source, follower }: Gate): Promise<string> {
  const { use, facts, sameProcess } = access;
  const at = source.endpoint;
  await sameProcess(source);
  if (!isPointedAt(await facts(follower), at)) {
    await use(follower, (redis) => redis.replicaof(at.address, at.port));
  }
  const asked = await pollUntil({ deadlineMs: ASKS_WITHIN_MS }, async () => {
    const state = linkTo(await sameProcess(source), follower)?.state;
    return state ?? null;
  });
  if (asked === null) {
    throw new FleetError(
      'FollowerUnfit',
      `${showEndpoint(follower)} did not ask ${showEndpoint(at)} for its data within 30 s. Nothing forked. See the follower's redis.log, then retry.`,
    );
  }
  if (asked !== 'wait_bgsave') return asked;
  await use(at, (redis) => redis.call('ACL', 'SETUSER', REPLICATION_USER, 'off'));
  const others = othersWaiting(await sameProcess(source), follower);
  if (others.length > 0) {
    throw new FleetError(
      'FollowerUnfit',
      `${others.map(({ address, port }) => `${address}:${port}`).join(', ')} also waits for a full synchronisation from ${showEndpoint(at)}, ` +
        'and one fork for the follower of this runbook would serve it too. Nothing forked. Stop that process, then retry.',
    );
  }
  return asked;
}

/** Step 4: returns once it has forked, or did not within ten seconds. Shut the gates afterwards in any case. */
export async function openUntilFork({ access, source }: Gate): Promise<void> {
  const at = source.endpoint;
  const before = await access.sameProcess(source);
  await access.use(at, (redis) => redis.config('SET', 'repl-diskless-sync-delay', GATE_A_OPEN_DELAY));
  await pollUntil({ deadlineMs: FORKS_WITHIN_MS, everyMs: 20 }, async () => {
    const now = await access.sameProcess(source);
    return now.totalForks > before.totalForks ? true : null;
  });
}

/** Step 5. */
export async function shutGatesOf({ use }: RedisAccess, endpoint: Endpoint): Promise<void> {
  await use(endpoint, shutGatesThrough);
}

export async function shutGatesThrough(redis: Redis): Promise<void> {
  for (const [name, value] of Object.entries(GATE_A_SHUT)) {
    await redis.config('SET', name, value);
  }
  await redis.call('ACL', 'SETUSER', REPLICATION_USER, 'on');
}
