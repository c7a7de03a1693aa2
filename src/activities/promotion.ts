/** Claims, confirms and promotes: all databases of a request at once, since somebody waits for every one of them. */

import type { Credentials } from '../connections/credentials.js';
import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { fencedAfterLosingFollower } from '../fleet/lease.js';
import { dependsOnOwnerState, mayClaim, sameRun } from '../fleet/ownership.js';
import { promotedAgain, promotedByOwner, tripsBreaker, withoutAgent } from '../fleet/promotion.js';
import { choosePromotion } from '../fleet/promotionChoice.js';
import type { PromotionCase } from '../fleet/promotion.js';
import { selectForPromotion } from '../fleet/promotionSelection.js';
import { showEndpoint } from '../fleet/record.js';
import type { DatabaseRecord, StoredRecord } from '../fleet/record.js';
import type { PromoteFollowerRequest } from '../fleet/requests.js';
import { claim, notOwned, release } from '../fleet/recordChanges.js';
import type { Author } from '../fleet/recordChanges.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { LeaseStore } from '../records/leases.js';
import { watchStore } from '../records/watches.js';
import { atOnce } from './atOnce.js';
import { leaderLooks } from './leaderSightings.js';
import type { LookOptions, Seen } from './leaderSightings.js';
import { callingWorkflow } from './owner.js';
import type { AskOwnerState } from './owner.js';
import { promoteOne } from './promoteOne.js';
import type { ClaimedForPromotion, PromotionActivities } from './promotionContract.js';
import { promotionFenceActivities } from './promotionFence.js';
import { promotionTidyActivities } from './promotionTidy.js';
import { changeRecord, listedFirst } from './records.js';
import type { WarmConnections } from './warmConnections.js';

export interface PromotionDependencies {
  readonly fleetName: string;
  readonly consul: FleetConsul;
  readonly records: RecordStore;
  readonly leases: LeaseStore;
  readonly fleet: FleetStore;
  readonly credentials: Credentials;
  readonly connections: WarmConnections;
  readonly askOwnerState: AskOwnerState;
}

export function promotionActivities(dependencies: PromotionDependencies): PromotionActivities {
  const { fleetName, records, fleet, connections, askOwnerState } = dependencies;
  const watches = watchStore(dependencies.consul, fleetName);
  const looks = leaderLooks(dependencies);

  const appliedFleet = (): Promise<Fleet> => fleet.applied('it has nothing to promote');

  async function claimOne(stored: StoredRecord, author: Author): Promise<ClaimedForPromotion> {
    const { database } = stored.record;
    try {
      const record = await changeRecord(
        records,
        database,
        listedFirst(records, stored),
        async ({ record: now }) => {
          const { operation: owner } = now;
          const { operation } = author;
          const state =
            owner && dependsOnOwnerState(owner, operation) ? await askOwnerState(owner) : 'running';
          const verdict = mayClaim(`database ${database}`, owner, operation, state);
          return verdict.may ? claim(now, author) : { refused: 'DatabaseOwned', why: verdict.why };
        },
      );
      return { database, claimed: true, record, promoted: promotedByOwner(record) };
    } catch (error) {
      if (!(error instanceof FleetError) || error.retryable) throw error;
      return { database, claimed: false, kind: error.kind, why: error.message };
    }
  }

  /** Asked only where a lease is all that fences: what the watches remember of agents that were gone before. */
  async function hostsWithoutAgent(seen: ReadonlyMap<string, Seen>): Promise<ReadonlySet<string>> {
    const byLease = [...seen.values()].some(
      ({ verdict, fencing }) =>
        fencing === 'lease' || (verdict.state === 'failed' && verdict.fence === 'lease'),
    );
    if (!byLease) return new Set();
    const databases = (await watches.list()).flatMap((view) => view.databases);
    return new Set(
      databases.flatMap(({ leader, sightings }) => (sightings.lease.state === 'nobody' ? [leader.host] : [])),
    );
  }

  /** A planned runbook gives way only to a leader that has failed: what it did would be lost for nothing. */
  async function mayPreempt(
    { record }: StoredRecord,
    request: PromoteFollowerRequest,
    applied: Fleet,
  ): Promise<ClaimedForPromotion | null> {
    const { database, operation: owner } = record;
    const { operation } = callingWorkflow('urgent');
    if (owner === undefined || dependsOnOwnerState(owner, operation) || sameRun(owner, operation))
      return null;
    if ((await askOwnerState(owner)) !== 'running') return null;
    const seen = await looks.look(
      [record],
      lookOptions(request, applied, { patient: true, mindOwners: true }),
    );
    const verdict = seen.get(database)?.verdict;
    if (verdict === undefined || verdict.state === 'failed') return null;
    return {
      database,
      claimed: false,
      kind: 'LeaderHealthy',
      why:
        `${database} belongs to ${owner.workflowId}, and its leader ${showEndpoint(record.leader)} is not known to have failed: ${verdict.why} ` +
        `Nothing was changed. See: redis-fleet runbook show ${owner.workflowId}`,
    };
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
          if (request.dryRun !== true) {
            return (await mayPreempt(stored, request, applied)) ?? (await claimOne(stored, author));
          }
          const { record } = stored;
          return { database: record.database, claimed: true, record, promoted: false };
        },
      );
      return [...claims, ...refused];
    },

    async confirmFailures({ records: claimed, request, patient }) {
      const [applied, list] = await Promise.all([appliedFleet(), records.list()]);
      const mindOwners = request.dryRun === true;
      const seen = await looks.look(claimed, lookOptions(request, applied, { patient, mindOwners }));
      const now = Date.now();
      const agentless = await hostsWithoutAgent(seen);
      const cases = claimed.flatMap((record): PromotionCase[] => {
        const found = seen.get(record.database);
        if (found === undefined) return [];
        return [withoutAgent(caseOf(record, found, request.allowDataLoss ?? [], applied, now), agentless)];
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
        connections,
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

    async releaseOwn() {
      const author = callingWorkflow('urgent');
      const { records: all } = await records.list();
      const own = all.filter(({ record }) => notOwned(record, author) === null);
      await atOnce(RELEASED_AT_ONCE, own, (stored) =>
        changeRecord(records, stored.record.database, listedFirst(records, stored), ({ record }) =>
          release(record, author),
        ),
      );
    },

    ...promotionFenceActivities(dependencies),
    ...promotionTidyActivities(dependencies),
  };
}

const RELEASED_AT_ONCE = 16;

function lookOptions(
  { detected }: PromoteFollowerRequest,
  { detection, leases }: Fleet,
  { patient, mindOwners }: { readonly patient: boolean; readonly mindOwners: boolean },
): LookOptions {
  return {
    downAfterMs: detection.downAfter,
    silentBefore: (database) => detected?.why[database] !== undefined,
    mindOwners,
    // A lease that nobody renews shows only after a while.
    patienceMs: patient ? Math.max(detection.downAfter, leases.ttl) + detection.downAfter : 0,
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
