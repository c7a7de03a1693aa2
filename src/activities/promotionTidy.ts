/** What follows a promotion: other followers, the catalog, and an old leader that still answers. */

import type { Credentials } from '../connections/credentials.js';
import type { FleetConsul } from '../connections/consul.js';
import { withRedis } from '../connections/redis.js';
import { coverage } from '../fleet/backlog.js';
import { messageOf } from '../fleet/errors.js';
import { isPointedAt } from '../fleet/gates.js';
import { followersOf } from '../fleet/promotion.js';
import { sameEndpoint } from '../fleet/record.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { RecordStore } from '../records/databases.js';
import { settleAllRoles } from '../records/serviceRoles.js';
import { atOnce } from './atOnce.js';
import type { PromotionActivities, TidiedUp } from './promotionContract.js';
import { demote } from './promotionFence.js';
import { openLook, quickLook } from './quickLook.js';

const ANSWER_WITHIN_MS = 1_000;
const AT_ONCE = 16;

export interface TidyDependencies {
  readonly fleetName: string;
  readonly consul: FleetConsul;
  readonly records: RecordStore;
  readonly credentials: Pick<Credentials, 'administrator'>;
}

export function promotionTidyActivities({
  fleetName,
  consul,
  records,
  credentials,
}: TidyDependencies): Pick<PromotionActivities, 'tidyAfterPromotion'> {
  /** null: it follows the new leader. Otherwise why it does not. */
  async function repoint(leader: Endpoint, follower: Endpoint): Promise<string | null> {
    const [leading, following] = await Promise.all(
      [leader, follower].map((endpoint) => quickLook(endpoint, credentials, ANSWER_WITHIN_MS)),
    );
    if (leading?.answers !== true || following?.answers !== true) return 'it does not answer';
    if (isPointedAt(following.facts, leader)) return null;
    if (following.facts.role === 'leader') return 'it leads itself';
    if (following.facts.link?.synchronising === true) return 'it is in the middle of a synchronisation';
    const verdict = coverage(leading.facts, following.facts.position);
    if (!verdict.covered) return verdict.why;
    await withRedis(follower, credentials, { timeoutMs: ANSWER_WITHIN_MS }, (redis) =>
      redis.replicaof(leader.address, leader.port),
    );
    return null;
  }

  /** What its agent would do as soon as it can: it may be dead. */
  async function fenceOld(old: Endpoint): Promise<void> {
    const { look, redis, close } = await openLook(old, credentials, ANSWER_WITHIN_MS);
    try {
      if (look.answers && look.facts.role === 'leader') await demote(redis);
    } finally {
      close();
    }
  }

  async function tidyOne(record: DatabaseRecord): Promise<TidiedUp> {
    const { database, leader, promotion } = record;
    const repointed: TidiedUp['repointed'][number][] = [];
    const left: TidiedUp['left'][number][] = [];
    for (const follower of followersOf(record)) {
      const why = await repoint(leader, follower).catch(messageOf);
      if (why === null) repointed.push({ database, follower });
      else left.push({ database, follower, why });
    }
    const old = promotion?.from;
    if (old !== undefined && !sameEndpoint(old, leader)) await fenceOld(old).catch(() => undefined);
    return { repointed, left };
  }

  return {
    async tidyAfterPromotion({ databases }) {
      const wanted = new Set(databases);
      const { records: all } = await records.list();
      const chosen = all.filter(({ record }) => wanted.has(record.database));
      const tidied = await atOnce(AT_ONCE, chosen, ({ record }) => tidyOne(record));
      // The agents of both hosts do it as well, and one of them may be dead.
      const [unsettled] = await settleAllRoles(consul, {
        fleet: fleetName,
        records: chosen.map(({ record }) => record),
      });
      if (unsettled !== undefined) throw unsettled.error;
      return {
        repointed: tidied.flatMap((one) => one.repointed),
        left: tidied.flatMap((one) => one.left),
      };
    },
  };
}
