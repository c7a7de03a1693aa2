/** A full synchronisation that a runbook asked for: the one place where a gate is opened. */

import { FleetError } from '../fleet/errors.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { GATE_A_OPEN_DELAY, isPointedAt, linkTo, othersWaiting, REPLICATION_USER } from '../fleet/gates.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { RedisActivities } from './contracts.js';
import { pollUntil } from './polling.js';
import type { RedisAccess } from './redisAccess.js';

type Order = Parameters<RedisActivities['synchroniseFully']>[0] & {
  readonly pointAt: (follower: Endpoint, target: Endpoint) => Promise<void>;
  readonly shutGates: RedisActivities['shutGates'];
};

const ASKED_WITHIN_MS = 30_000;
const FORKED_WITHIN_MS = 10_000;
/** One whose connection was lost on the way asks again, and one that came late was left out. */
const MOST_FORKS = 3;
/** Neither seen by the source, nor answering itself: it is gone. */
const GONE_AFTER_MS = 10_000;
/** Between the end of the child and the word that it is online. */
const WAITS_AGAIN_AFTER_MS = 3_000;
/** Redis's own, for followers: `hard limit`, `soft limit`, seconds at the soft limit. */
export const BUFFER_LIMIT = 'replica 268435456 67108864 60';

/**
 * 1 the followers ask, and wait behind the gate; 2 nobody new may ask; 3 nobody else waits; 4 the gate opens until the
 * fork has begun; 5 it is shut again, whatever happened; 6 the followers load what they were sent. Then again for those
 * whose connection was lost on the way.
 */
export async function synchroniseFully(access: RedisAccess, order: Order): Promise<void> {
  const { source, followers, deadlineMs, bufferBytes } = order;
  const at = source.endpoint;
  const missing: Endpoint[] = [];
  for (const follower of followers) {
    if (!isSynchronised(await access.facts(follower), at)) missing.push(follower);
  }
  if (missing.length === 0) {
    await order.shutGates({ endpoint: at });
    return;
  }
  const end = Date.now() + deadlineMs;
  let waiting: readonly Endpoint[] = missing;
  for (let forks = 1; waiting.length > 0; forks++) {
    if (forks > MOST_FORKS) throw lost(source.endpoint, waiting);
    try {
      await access.sameProcess(source);
      await asked(access, order, waiting);
      await openGate(access, order, waiting);
    } finally {
      await order.shutGates({ endpoint: at });
    }
    try {
      if (bufferBytes !== undefined) await limitBuffers(access, at, `replica ${bufferBytes} 0 0`);
      waiting = await arrived(access, order, waiting, end - Date.now());
    } finally {
      if (bufferBytes !== undefined) await limitBuffers(access, at, BUFFER_LIMIT);
    }
  }
}

async function limitBuffers(access: RedisAccess, endpoint: Endpoint, limit: string): Promise<void> {
  await access.use(endpoint, (redis) => redis.config('SET', 'client-output-buffer-limit', limit));
}

async function asked(
  { facts, sameProcess }: RedisAccess,
  { source, pointAt, pointed }: Order,
  followers: readonly Endpoint[],
): Promise<void> {
  const at = source.endpoint;
  for (const follower of followers) {
    if (pointed !== true && !isPointedAt(await facts(follower), at)) await pointAt(follower, at);
  }
  let silent = followers;
  const all = await pollUntil({ deadlineMs: ASKED_WITHIN_MS }, async () => {
    const now = await sameProcess(source);
    silent = followers.filter((follower) => linkTo(now, follower) === null);
    return silent.length === 0 ? true : null;
  });
  if (all !== null) return;
  throw new FleetError(
    'FollowerUnfit',
    `${names(silent)} did not ask ${showEndpoint(at)} for its data within 30 s. Nothing forked. See the follower's redis.log, then retry.`,
  );
}

async function openGate(
  { use, sameProcess }: RedisAccess,
  { source }: Order,
  followers: readonly Endpoint[],
): Promise<void> {
  const at = source.endpoint;
  const isAsking = (now: ProcessFacts): boolean =>
    followers.some((follower) => linkTo(now, follower)?.state === 'wait_bgsave');
  if (!isAsking(await sameProcess(source))) return;
  await use(at, (redis) => redis.call('ACL', 'SETUSER', REPLICATION_USER, 'off'));
  const before = await sameProcess(source);
  const others = othersWaiting(before, ...followers);
  if (others.length > 0) {
    throw new FleetError(
      'FollowerUnfit',
      `${others.map(({ address, port }) => `${address}:${port}`).join(', ')} also waits for a full synchronisation from ${showEndpoint(at)}, ` +
        'and one fork for the follower of this runbook would serve it too. Nothing forked. Stop that process, then retry.',
    );
  }
  await use(at, (redis) => redis.config('SET', 'repl-diskless-sync-delay', GATE_A_OPEN_DELAY));
  await pollUntil({ deadlineMs: FORKED_WITHIN_MS, everyMs: 20 }, async () => {
    const now = await sameProcess(source);
    return now.totalForks > before.totalForks ? true : null;
  });
}

/** @returns those that wait behind the gate again. @throws FollowerUnfit */
async function arrived(
  { facts, sameProcess }: RedisAccess,
  { source, deadlineMs }: Order,
  followers: readonly Endpoint[],
  leftMs: number,
): Promise<readonly Endpoint[]> {
  const at = source.endpoint;
  const since = new Map<string, { readonly how: 'gone' | 'waits'; readonly at: number }>();
  const ended = await pollUntil({ deadlineMs: Math.max(0, leftMs), everyMs: 50 }, async () => {
    const leading = await sameProcess(source);
    const states = await Promise.all(
      followers.map(async (follower) => {
        const now = await facts(follower).catch(() => null); // it may not answer while it loads
        if (now !== null && isSynchronised(now, at)) return 'arrived' as const;
        const link = linkTo(leading, follower);
        const how =
          link === null && now === null
            ? 'gone'
            : link?.state === 'wait_bgsave' && !leading.saving
              ? 'waits'
              : null;
        const key = showEndpoint(follower);
        const known = since.get(key);
        if (how === null) since.delete(key);
        else if (known?.how !== how) since.set(key, { how, at: Date.now() });
        const spent = known !== undefined && known.how === how ? Date.now() - known.at : 0;
        if (how === 'gone' && spent > GONE_AFTER_MS) throw lost(at, [follower]);
        return how === 'waits' && spent > WAITS_AGAIN_AFTER_MS ? ('waits' as const) : ('loads' as const);
      }),
    );
    return states.includes('loads') ? null : followers.filter((_, index) => states[index] === 'waits');
  });
  if (ended !== null) return ended;
  throw new FleetError(
    'FollowerUnfit',
    `${names(followers)} did not load the data of ${showEndpoint(at)} within ${Math.round(deadlineMs / 1000)} s. ` +
      `The gate is shut again. See the follower's redis.log (disk full?), then retry.`,
  );
}

function lost(source: Endpoint, followers: readonly Endpoint[]): FleetError {
  return new FleetError(
    'FollowerUnfit',
    `${names(followers)} lost its connection to ${showEndpoint(source)} while it got its data from there: it ended, or is out of reach. ` +
      'The gate is shut again, and nobody else was touched. See its redis.log and its host, then retry.',
  );
}

function names(followers: readonly Endpoint[]): string {
  return followers.map(showEndpoint).join(', ');
}

export function isSynchronised(facts: ProcessFacts, source: Endpoint): boolean {
  return isPointedAt(facts, source) && facts.link?.up === true && !facts.link.synchronising && !facts.loading;
}
