/** Claims, confirms and promotes: all databases of a request at once, since somebody waits for every one of them. */

import type { Credentials } from '../connections/credentials.js';
import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { fencedAfterLosingFollower } from '../fleet/lease.js';
import { dependsOnOwnerState, mayClaim } from '../fleet/ownership.js';
import { choosePromotion, promotedAgain, promotedByOwner, tripsBreaker } from '../fleet/promotion.js';
import type { PromotionCase } from '../fleet/promotion.js';
import { selectForPromotion } from '../fleet/promotionSelection.js';
import type { DatabaseRecord, StoredRecord } from '../fleet/record.js';
import { claim } from '../fleet/recordChanges.js';
import type { Author } from '../fleet/recordChanges.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { LeaseStore } from '../records/leases.js';
import { atOnce } from './atOnce.js';
import { leaderLooks } from './leaderSightings.js';
import type { Seen } from './leaderSightings.js';
import { callingWorkflow } from './owner.js';
import type { AskOwnerState } from './owner.js';
import { promoteOne } from './promoteOne.js';
import type { ClaimedForPromotion, PromotionActivities } from './promotionContract.js';
import { promotionFenceActivities } from './promotionFence.js';
import { promotionTidyActivities } from './promotionTidy.js';
import { changeRecord, listedFirst } from './records.js';

export interface PromotionDependencies {
  readonly fleetName: string;
  readonly consul: FleetConsul;
  readonly records: RecordStore;
  readonly leases: LeaseStore;
  readonly fleet: FleetStore;
  readonly credentials: Credentials;
  readonly askOwnerState: AskOwnerState;
}

export function promotionActivities(dependencies: PromotionDependencies): PromotionActivities {
  const { fleetName, records, fleet, credentials, askOwnerState } = dependencies;
  const looks = leaderLooks(dependencies);

  async function appliedFleet(): Promise<Fleet> {
    const stored = await fleet.read();
    if (stored) return stored.fleet;
    throw new FleetError(
      'NotFound',
      `No fleet file was applied to fleet ${fleetName} yet, so it has nothing to promote. Look with \`redis-fleet plan\`.`,
    );
  }

  async function claimOne(stored: StoredRecord, author: Author): Promise<ClaimedForPromotion> {
    const { database } = stored.record;
    try {
      const record = await changeRecord(records, database, listedFirst(records, stored), async ({ record: now }) => {
        const { operation: owner } = now;
        const { operation } = author;
        const state = owner && dependsOnOwnerState(owner, operation) ? await askOwnerState(owner) : 'running';
        const verdict = mayClaim(`database ${database}`, owner, operation, state);
        return verdict.may ? claim(now, author) : { refused: 'DatabaseOwned', why: verdict.why };
      });
      return { database, claimed: true, record, promoted: promotedByOwner(record) };
    } catch (error) {
      if (!(error instanceof FleetError) || error.retryable) throw error;
      return { database, claimed: false, kind: error.kind, why: error.message };
    }
  }

  return {
    async claimForPromotion({ request }) {
      const author = callingWorkflow('urgent');
      const [applied, list] = await Promise.all([appliedFleet(), records.list()]);
      const { chosen, refused } = selectForPromotion(request, applied, list, author.operation);
      const claims = await atOnce(
        applied.detection.atOnce,
        chosen,
        async (stored): Promise<ClaimedForPromotion> => {
          if (request.dryRun !== true) return claimOne(stored, author);
          const { record } = stored;
          return { database: record.database, claimed: true, record, promoted: false };
        },
      );
      return [...claims, ...refused];
    },

    async confirmFailures({ records: claimed, request, patient }) {
      const [applied, list] = await Promise.all([appliedFleet(), records.list()]);
      const { detection, leases } = applied;
      const seen = await looks.look(claimed, {
        downAfterMs: detection.downAfter,
        silentBefore: (database) => request.detected?.why[database] !== undefined,
        patienceMs: patient ? Math.max(detection.downAfter, leases.ttl) + detection.downAfter : 0,
      });
      const now = Date.now();
      const cases = claimed.flatMap((record): PromotionCase[] => {
        const found = seen.get(record.database);
        return found === undefined ? [] : [caseOf(record, found, request.allowDataLoss ?? [], applied, now)];
      });
      const failed = cases.filter(({ verdict, choice }) => verdict.state === 'failed' && choice.may);
      const all = list.records.map(({ record }) => record);
      return { cases, breaker: tripsBreaker(failed, all, applied, now) };
    },

    async promote({ cases, allowDataLoss }) {
      const author = callingWorkflow('urgent');
      const [{ detection, leases }, { records: all }] = await Promise.all([appliedFleet(), records.list()]);
      const means = {
        records,
        credentials,
        author,
        lagLimit: detection.lagLimit,
        fencedAfterMs: fencedAfterLosingFollower({ ttl: leases.ttl, downAfter: detection.downAfter }),
      };
      const byName = new Map(all.map((stored) => [stored.record.database, stored]));
      return atOnce(detection.atOnce, cases, async (found) => {
        const { database } = found;
        const stored = byName.get(database);
        if (stored !== undefined) return promoteOne(found, stored, allowDataLoss.includes(database), means);
        return { database, outcome: 'refused', why: `The record of ${database} is gone, or cannot be read.` };
      });
    },

    ...promotionFenceActivities(dependencies),
    ...promotionTidyActivities(dependencies),
  };
}

function caseOf(
  record: DatabaseRecord,
  { verdict, fencing, pulse, followers, leader }: Seen,
  allowDataLoss: readonly string[],
  { detection }: Fleet,
  now: number,
): PromotionCase {
  const { database, epoch } = record;
  const leaderPosition = pulse?.position ?? null;
  const choice = choosePromotion({
    database,
    leader: record.leader,
    leaderPosition,
    followers,
    reborn: leader,
    lagLimit: detection.lagLimit,
    lossAllowed: allowDataLoss.includes(database),
  });
  const again = promotedAgain(record, detection, now);
  return { database, epoch, leader: record.leader, verdict, fencing, leaderPosition, choice, again };
}
