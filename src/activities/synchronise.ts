/** A full synchronisation that a runbook asked for. */

import { FleetError } from '../fleet/errors.js';
import { isSynchronised, linkTo } from '../fleet/gates.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { ForkBaseline, RedisActivities } from './contracts.js';
import { BUFFER_LIMIT, openUntilFork, shutGatesOf, waitAlone } from './gateOpening.js';
import { pollUntil } from './polling.js';
import type { RedisAccess } from './redisAccess.js';

type Order = Parameters<RedisActivities['synchroniseFully']>[0];

/** One whose connection was lost on the way asks again, and one that came late was left out. */
const MOST_FORKS = 3;
/** Neither seen by the source, nor answering itself: it is gone. */
const GONE_AFTER_MS = 10_000;
/** Between the end of the child and the word that it is online. */
const WAITS_AGAIN_AFTER_MS = 3_000;

/** Through the gate, and until the followers have loaded what they were sent; then again for those that were cut off. */
export async function synchroniseFully(access: RedisAccess, order: Order): Promise<void> {
  const { source, followers, deadlineMs, bufferBytes, pointed = false } = order;
  const at = source.endpoint;
  const missing: Endpoint[] = [];
  for (const follower of followers) {
    if (!isSynchronised(await access.facts(follower), at)) missing.push(follower);
  }
  if (missing.length === 0) {
    await shutGatesOf(access, at);
    return;
  }
  const end = Date.now() + deadlineMs;
  let waiting: readonly Endpoint[] = missing;
  for (let forks = 1; waiting.length > 0; forks++) {
    if (forks > MOST_FORKS) throw lost(source.endpoint, waiting);
    try {
      const gate = { access, source, followers: waiting, pointed };
      if (await waitAlone(gate)) await openUntilFork(gate);
    } finally {
      await shutGatesOf(access, at);
    }
    try {
      if (bufferBytes !== undefined) await limitBuffers(access, at, `replica ${bufferBytes} 0 0`);
      waiting = await arrived(access, source, waiting, Math.max(0, end - Date.now()));
    } finally {
      if (bufferBytes !== undefined) await limitBuffers(access, at, BUFFER_LIMIT);
    }
  }
}

async function limitBuffers(access: RedisAccess, endpoint: Endpoint, limit: string): Promise<void> {
  await access.use(endpoint, (redis) => redis.config('SET', 'client-output-buffer-limit', limit));
}

/** Until they have loaded what they were sent. @returns those that wait behind the gate again. @throws FollowerUnfit */
export async function arrived(
  { facts, sameProcess }: RedisAccess,
  source: ForkBaseline,
  followers: readonly Endpoint[],
  deadlineMs: number,
): Promise<readonly Endpoint[]> {
  const at = source.endpoint;
  const since = new Map<string, { readonly how: 'gone' | 'waits'; readonly at: number }>();
  const ended = await pollUntil({ deadlineMs, everyMs: 50 }, async () => {
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
