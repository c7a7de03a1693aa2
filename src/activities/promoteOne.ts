/** Makes the most advanced follower of one database lead, and sets its record. */

import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeRedisError } from '../connections/redis.js';
import type { Redis } from '../connections/redis.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { BLACK_HOLE } from '../fleet/gates.js';
import { followersOf, linkEnds, outcomeOf, promotedByOwner } from '../fleet/promotion.js';
import { choosePromotion, nextFollower } from '../fleet/promotionChoice.js';
import type { PromotionOutcome } from '../fleet/promotion.js';
import type { CandidateSeen } from '../fleet/promotionChoice.js';
import { sameEndpoint, showEndpoint } from '../fleet/record.js';
import type { Endpoint, StoredRecord } from '../fleet/record.js';
import { changeLeader, leadAgain, notOwned } from '../fleet/recordChanges.js';
import type { Author, Change } from '../fleet/recordChanges.js';
import type { RecordStore } from '../records/databases.js';
import { takeTheLead } from './leading.js';
import type { FencedCase } from './promotionContract.js';
import { candidateSeen, lookAgain } from './quickLook.js';
import { changeRecord, listedFirst } from './records.js';
import type { WarmConnections } from './warmConnections.js';

export interface PromotionMeans {
  readonly records: RecordStore;
  readonly connections: WarmConnections;
  readonly author: Author;
  /** Bytes. */
  readonly lagLimit: number;
  /** How long after it lost its follower an agent without a lease may let its leader serve. Milliseconds. */
  readonly fencedAfterMs: number;
}

/** Of one more look, for messages. */
const CANDIDATE_TIMEOUT_MS = 1_000;
/** What a dead leader had sent arrives before its end does: within this time, or its follower reads slowly. */
const LINK_ENDS_WITHIN_MS = 300;
const LOOK_AGAIN_MS = 10;
const SECOND_MS = 1_000;

/** A process that may lead, over a connection that stays open until it is decided. */
interface OpenCandidate {
  readonly endpoint: Endpoint;
  readonly redis: Redis;
  readonly close: () => void;
  seen: CandidateSeen;
}

/** @throws FleetError Unreachable: Consul does not answer, and the whole may be asked again */
export async function promoteOne(
  found: FencedCase,
  stored: StoredRecord,
  lossAllowed: boolean,
  means: PromotionMeans,
): Promise<PromotionOutcome> {
  const { record } = stored;
  const { database, epoch, leader } = found;
  const refused = (why: string): PromotionOutcome => ({ database, outcome: 'refused', why });
  if (promotedByOwner(record)) return outcomeOf(record);
  const lost = notOwned(record, means.author);
  if (lost) return refused(lost.why);
  if (record.epoch !== epoch) {
    return refused(
      `The record of ${database} changed meanwhile (to epoch ${record.epoch}), and was left as it is.`,
    );
  }
  const candidates = await open([...followersOf(record), ...(lossAllowed ? [leader] : [])], means);
  try {
    const followers = candidates.filter(({ endpoint }) => !sameEndpoint(endpoint, leader));
    await untilAllArrived(found, followers, means.fencedAfterMs);
    const choice = choosePromotion({
      database,
      leader,
      leaderPosition: found.leaderPosition,
      followers,
      reborn: candidates.find(({ endpoint }) => sameEndpoint(endpoint, leader))?.seen ?? null,
      lagLimit: means.lagLimit,
      lossAllowed,
    });
    if (!choice.may) return refused(choice.why);
    const chosen = candidates.find(({ endpoint }) => sameEndpoint(endpoint, choice.to));
    if (chosen === undefined) return refused(`${choice.to.host} was chosen, and nobody looked at it.`);
    await lead(chosen);
    const follower = nextFollower(choice.to, followers);
    const change = ({ record: before }: StoredRecord): Change => {
      const author = { ...means.author, at: new Date().toISOString() };
      return sameEndpoint(choice.to, leader)
        ? leadAgain(before, { epoch }, author)
        : changeLeader(before, { epoch, leader: choice.to, follower, unplanned: true }, author);
    };
    const after = await orLetGo(chosen, means, () =>
      changeRecord(means.records, database, listedFirst(means.records, stored), change),
    );
    const { to, behindBytes } = choice;
    return { database, outcome: 'promoted', record: after, from: leader, to, behindBytes };
  } catch (error) {
    // Without Consul nobody knows who leads: asked again. Anything else is about this database alone.
    if (error instanceof NotLed) return refused(error.message);
    if (!(error instanceof FleetError) || error.retryable) throw error;
    return refused(error.message);
  } finally {
    for (const { close } of candidates) close();
  }
}

class NotLed extends Error {}

async function lead({ endpoint, redis }: OpenCandidate): Promise<void> {
  try {
    await takeTheLead(redis);
  } catch (error) {
    throw new NotLed(messageOf(describeRedisError(endpoint, error, CANDIDATE_TIMEOUT_MS)));
  }
}

/** A record that was taken from us meanwhile says who leads: this one does not. */
async function orLetGo<T>(
  { endpoint }: OpenCandidate,
  { connections }: PromotionMeans,
  set: () => Promise<T>,
): Promise<T> {
  try {
    return await set();
  } catch (error) {
    if (error instanceof FleetError && !error.retryable) {
      // A borrowed connection is closed as soon as the watch sees that record.
      const { redis, close } = await connections.fresh(endpoint);
      await redis.replicaof(BLACK_HOLE.address, BLACK_HOLE.port).catch(() => undefined);
      close();
    }
    throw error;
  }
}

function open(endpoints: readonly Endpoint[], { connections }: PromotionMeans): Promise<OpenCandidate[]> {
  return Promise.all(
    endpoints.map(async (endpoint) => {
      const { look, redis, close } = await connections.look(endpoint);
      return { endpoint, redis, close, seen: candidateSeen(look) };
    }),
  );
}

/**
 * What the old leader had sent is read first. And where it is fenced by its lease alone, its agent may have gone by
 * its follower's acknowledgements until that was lost: then this waits until it has fenced it for that.
 * @throws FleetError LeaderHealthy: its follower hears from it again
 */
async function untilAllArrived(
  { fencing, leader }: FencedCase,
  followers: readonly OpenCandidate[],
  fencedAfterMs: number,
): Promise<void> {
  if (fencing === 'lease') {
    const justLost = followers.some(
      ({ seen }) =>
        seen.answers && seen.link?.up === false && (seen.link.downForMs ?? 0) < fencedAfterMs + SECOND_MS,
    );
    if (justLost) {
      await sleep(fencedAfterMs);
      await Promise.all(followers.map(look));
    }
    const hears = followers.find(isHearing);
    if (hears !== undefined) throw cameBack(leader, hears.endpoint);
    return;
  }
  if (!linkEnds(fencing)) return;
  const end = performance.now() + LINK_ENDS_WITHIN_MS;
  for (const follower of followers) {
    while (follower.seen.answers && follower.seen.link?.up === true && performance.now() < end) {
      await sleep(LOOK_AGAIN_MS);
      await look(follower);
    }
  }
}

async function look(candidate: OpenCandidate): Promise<void> {
  const { redis, endpoint } = candidate;
  candidate.seen = candidateSeen(await lookAgain(redis, endpoint, CANDIDATE_TIMEOUT_MS));
}

/** Its old leader has acknowledgements to live on again, and so serves, whatever became of its lease. */
function isHearing({ seen }: OpenCandidate): boolean {
  return seen.answers && seen.link?.up === true && seen.link.silentForMs === 0;
}

function cameBack(leader: Endpoint, follower: Endpoint): FleetError {
  return new FleetError(
    'LeaderHealthy',
    `${showEndpoint(leader)} came back while its lease ran out: its follower ${showEndpoint(follower)} hears from it. Nobody was promoted.`,
  );
}
