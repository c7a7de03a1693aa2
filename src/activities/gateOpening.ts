/**
 * The one place where a gate is opened, and where it is shut again. Apart from the waiting before: writes may be paused in
 * between. 1 the followers ask, and wait; 2 nobody new may ask; 3 nobody else waits; 4 the gate opens until the fork has
 * begun; 5 it is shut again, whatever happened.
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
  /** All served by one fork. */
  readonly followers: readonly Endpoint[];
  /** Somebody else points them at the source. */
  readonly pointed?: boolean;
}

const ASKS_WITHIN_MS = 30_000;
const FORKS_WITHIN_MS = 10_000;

/**
 * Steps 1 to 3; shut the gates afterwards in any case.
 * @returns false: all of them were served by a partial synchronisation, and nobody has to fork
 * @throws FollowerUnfit, LeaderUnfit
 */
export async function waitAlone(gate: Gate): Promise<boolean> {
  const { access, source, followers } = gate;
  const at = source.endpoint;
  await access.sameProcess(source);
  await askForData(gate);
  const asking = await access.sameProcess(source);
  if (!followers.some((follower) => linkTo(asking, follower)?.state === 'wait_bgsave')) return false;
  await access.use(at, (redis) => redis.call('ACL', 'SETUSER', REPLICATION_USER, 'off'));
  const others = othersWaiting(await access.sameProcess(source), ...followers);
  if (others.length === 0) return true;
  throw new FleetError(
    'FollowerUnfit',
    `${others.map(({ address, port }) => `${address}:${port}`).join(', ')} also waits for a full synchronisation from ${showEndpoint(at)}, ` +
      'and one fork for the follower of this runbook would serve it too. Nothing forked. Stop that process, then retry.',
  );
}

async function askForData({ access, source, followers, pointed }: Gate): Promise<void> {
  const at = source.endpoint;
  for (const follower of followers) {
    if (pointed === true || isPointedAt(await access.facts(follower), at)) continue;
    await access.use(follower, (redis) => redis.replicaof(at.address, at.port));
  }
  let silent = followers;
  const all = await pollUntil({ deadlineMs: ASKS_WITHIN_MS }, async () => {
    const now = await access.sameProcess(source);
    silent = followers.filter((follower) => linkTo(now, follower) === null);
    return silent.length === 0 ? true : null;
  });
  if (all !== null) return;
  throw new FleetError(
    'FollowerUnfit',
    `${silent.map(showEndpoint).join(', ')} did not ask ${showEndpoint(at)} for its data within 30 s. Nothing forked. See the follower's redis.log, then retry.`,
  );
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

/** Redis's own, for followers: `hard limit`, `soft limit`, seconds at the soft limit. */
export const BUFFER_LIMIT = 'replica 268435456 67108864 60';

export async function shutGatesThrough(redis: Redis): Promise<void> {
  for (const [name, value] of Object.entries(GATE_A_SHUT)) {
    await redis.config('SET', name, value);
  }
  await redis.config('SET', 'client-output-buffer-limit', BUFFER_LIMIT);
  await redis.call('ACL', 'SETUSER', REPLICATION_USER, 'on');
}
