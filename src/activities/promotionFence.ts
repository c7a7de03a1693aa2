/** How the control plane makes sure that an old leader takes no more writes, where the agent of its host cannot. */

import { performance } from 'node:perf_hooks';
import { Context } from '@temporalio/activity';
import type { Credentials } from '../connections/credentials.js';
import type { Redis } from '../connections/redis.js';
import { FleetError } from '../fleet/errors.js';
import { BLACK_HOLE } from '../fleet/gates.js';
import { LEASE_MARGIN } from '../fleet/lease.js';
import { showEndpoint } from '../fleet/record.js';
import type { Endpoint } from '../fleet/record.js';
import { APPLICATION_USER } from '../fleet/redisConfig.js';
import type { LeaseStore } from '../records/leases.js';
import { callingWorkflow } from './owner.js';
import type { PromotionActivities } from './promotionContract.js';
import { openLook } from './quickLook.js';

const LOOK_AGAIN_MS = 50;
const OBEY_WITHIN_MS = 500;

export function promotionFenceActivities({
  leases,
  credentials,
}: {
  readonly leases: LeaseStore;
  readonly credentials: Pick<Credentials, 'administrator'>;
}): Pick<PromotionActivities, 'breakLease' | 'fenceOverNetwork'> {
  return {
    async breakLease({ host, why }) {
      const { workflowId } = callingWorkflow().operation;
      const first = await leases.read(host);
      // Counted from after it was read: it may have been renewed right before.
      const since = performance.now();
      for (;;) {
        const stored = await leases.read(host);
        if (stored === null || stored.lease.left === true) {
          throw new FleetError(
            'NotFenced',
            `The agent of ${host} holds no lease that could run out${stored === null ? '' : ': it left in good order'}, and so fences nothing there.`,
          );
        }
        const { lease, modifyIndex } = stored;
        if (lease.broken !== undefined) return;
        if (modifyIndex !== first?.modifyIndex) {
          throw new FleetError('LeaderHealthy', `The agent of ${host} lives: it has just renewed its lease.`);
        }
        const left = lease.ttl + LEASE_MARGIN - (performance.now() - since);
        if (left <= 0) {
          // Lost: it was renewed in this very moment, which the next look shows.
          await leases.compareAndSet({ ...lease, broken: { by: workflowId, why } }, modifyIndex);
          continue;
        }
        await Context.current().sleep(Math.min(LOOK_AGAIN_MS, left));
      }
    },

    async fenceOverNetwork({ database, endpoint }) {
      const { look, redis, close } = await openLook(endpoint, credentials, OBEY_WITHIN_MS);
      try {
        if (look.answers) {
          await demote(redis);
          return 'demoted';
        }
        if (look.how === 'refused') return 'gone';
        throw notFenced(database, endpoint, look.why);
      } catch (error) {
        throw error instanceof FleetError
          ? error
          : notFenced(database, endpoint, 'it does not obey: a command of ours was not answered');
      } finally {
        close();
      }
    },
  };
}

/** It follows nobody from then on, and lets go of the applications that still write to it. */
export async function demote(redis: Redis): Promise<void> {
  await redis.replicaof(BLACK_HOLE.address, BLACK_HOLE.port);
  await redis.call('CLIENT', 'KILL', 'USER', APPLICATION_USER);
}

function notFenced(database: string, endpoint: Endpoint, why: string): FleetError {
  return new FleetError(
    'NotFenced',
    `The old leader of ${database}, ${showEndpoint(endpoint)}, could not be told over the network to take no more writes: ${why}`,
  );
}
