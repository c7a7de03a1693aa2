/** How the activities reach Redis. */

import { Context } from '@temporalio/activity';
import type { Redis } from 'ioredis';
import type { Credentials } from '../connections/credentials.js';
import { withRedis } from '../connections/redis.js';
import { FleetError } from '../fleet/errors.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { ForkBaseline } from './contracts.js';

/** A healthy process answers within milliseconds; one that forks a large data set may stall for a second. */
export const ANSWER_TIMEOUT_MS = 3_000;

/** Every call opens a connection of its own and closes it. */
export interface RedisAccess {
  readonly use: <T>(endpoint: Endpoint, action: (redis: Redis) => Promise<T>) => Promise<T>;
  readonly facts: (endpoint: Endpoint) => Promise<ProcessFacts>;
  /** @throws LeaderUnfit when the process is not the one of the baseline any more */
  readonly sameProcess: (baseline: ForkBaseline) => Promise<ProcessFacts>;
}

export function redisAccess(credentials: Credentials): RedisAccess {
  async function use<T>(endpoint: Endpoint, action: (redis: Redis) => Promise<T>): Promise<T> {
    const signal = Context.current().cancellationSignal;
    return withRedis(endpoint, credentials, { timeoutMs: ANSWER_TIMEOUT_MS, signal }, action);
  }
  async function facts(endpoint: Endpoint): Promise<ProcessFacts> {
    return use(endpoint, async (redis) => parseProcessFacts(await redis.info()));
  }
  async function sameProcess({ endpoint, runId }: ForkBaseline): Promise<ProcessFacts> {
    const now = await facts(endpoint);
    if (now.runId !== runId) {
      throw new FleetError(
        'LeaderUnfit',
        `${showEndpoint(endpoint)} was restarted while this runbook ran: it is another process than at the start. ` +
          'Nothing was pointed at it since. Look at its data before anything else; then abort this runbook and start it again.',
      );
    }
    return now;
  }
  return { use, facts, sameProcess };
}
