/** What a promotion is, how its old leader is fenced, and when an engineer has to say so first. Pure. */

import type { ReplicationPosition } from './facts.js';
import type { FenceNeeded, LeaderVerdict } from './failure.js';
import type { Detection, Fleet } from './fleet.js';
import type { PromotionChoice } from './promotionChoice.js';
import type { DatabaseRecord, Endpoint, Promotion } from './record.js';

/** How it is known that an old leader takes no more writes. */
export type Fencing =
  /** Its process does not exist any more. */
  | 'gone'
  /** It was told to follow nobody, and obeyed. */
  | 'demoted'
  /** It did not obey, and was killed. */
  | 'killed'
  /** Its host's lease ran out: its agent fenced it. */
  | 'lease'
  /** Nobody could fence it, and an engineer said that it may be done all the same. */
  | 'approved';

/** What happened, or would happen, to one database of a promotion. */
export type PromotionOutcome =
  | {
      readonly database: string;
      readonly outcome: 'promoted';
      readonly record: DatabaseRecord;
      readonly from: Endpoint;
      readonly to: Endpoint;
      /** Bytes of the stream that the old leader is known to have had and the new one has not; 0 unless more is known. */
      readonly behindBytes: number;
    }
  /** Only of a dry run. */
  | {
      readonly database: string;
      readonly outcome: 'would be promoted';
      readonly from: Endpoint;
      readonly to: Endpoint;
      readonly behindBytes: number;
      readonly fence: FenceNeeded;
      /** Names of the steps that would wait for an engineer. */
      readonly approvals: readonly string[];
    }
  | { readonly database: string; readonly outcome: 'refused'; readonly why: string };

/** A database of the request, with what is believed of its leader. */
export interface PromotionCase {
  readonly database: string;
  readonly epoch: number;
  readonly leader: Endpoint;
  readonly verdict: LeaderVerdict;
  /** How it takes no more writes, where nothing has to be done for that. */
  readonly fencing: Fencing | null;
  /** As the agent of the leader's host last published it; null: unknown. */
  readonly leaderPosition: ReplicationPosition | null;
  /** Who would lead as it looks now; it is looked at again before it is done. */
  readonly choice: PromotionChoice;
  /** It was promoted a moment ago: the sentence that asks for an engineer's word. null: it was not. */
  readonly again: string | null;
}

/** null, or the sentence that asks for an engineer's word: the database was promoted a moment ago. */
export function promotedAgain(
  { database, promotion }: DatabaseRecord,
  { notAgainWithin }: Pick<Detection, 'notAgainWithin'>,
  now: number,
): string | null {
  if (promotion === undefined) return null;
  const ago = now - Date.parse(promotion.at);
  if (ago >= notAgainWithin) return null;
  return (
    `${database} was promoted ${Math.max(0, Math.round(ago / 1000))} s ago already (by ${promotion.by}, away from ${promotion.from.host}), ` +
    'and its new leader has failed as well: something may be wrong that another promotion does not mend.'
  );
}

/** What counts as "at the same time" with the failures of now. */
const SAME_TIME_MS = 60_000;
/** So few servers are never too many. */
const NEVER_TOO_MANY = 2;

/**
 * null, or the sentence that asks for an engineer's word: leaders on too many servers fail at the same time, which is
 * more often the watcher's network than the leaders.
 *
 * @param failed of this promotion
 * @param others every record: those that another promotion owns, or that were promoted a moment ago, count as well
 */
export function tripsBreaker(
  failed: readonly { readonly database: string; readonly leader: Endpoint }[],
  others: readonly DatabaseRecord[],
  fleet: Pick<Fleet, 'servers' | 'detection'>,
  now: number,
): string | null {
  const serverOf = (leader: Endpoint): string =>
    fleet.servers.find(({ hosts }) => hosts.some(({ name }) => name === leader.host))?.name ?? leader.host;
  const own = new Set(failed.map(({ database }) => database));
  const hit = new Set(failed.map(({ leader }) => serverOf(leader)));
  for (const { database, leader, operation, promotion } of others) {
    if (own.has(database)) continue;
    const recent = promotion !== undefined && now - Date.parse(promotion.at) < SAME_TIME_MS;
    if (recent) hit.add(serverOf(promotion.from));
    else if (operation?.type === 'promoteFollower') hit.add(serverOf(leader));
  }
  const { breaker } = fleet.detection;
  const most = Math.max(NEVER_TOO_MANY, (fleet.servers.length * breaker) / 100);
  if (failed.length === 0 || hit.size <= most) return null;
  return (
    `Leaders on ${hit.size} of ${fleet.servers.length} servers failed at the same time (${[...hit].toSorted().join(', ')}), and more than ` +
    `${most === NEVER_TOO_MANY ? String(NEVER_TOO_MANY) : `${breaker} %`} asks for a person: it may be the network between them and the control plane that failed.`
  );
}

/**
 * A lease that ran out fences only where an agent lived to notice. A watch that saw the leader serve on after its agent
 * was gone knows better than whoever sees the lease alone.
 *
 * @param agentless hosts that a watch says that of
 */
export function withoutAgent(found: PromotionCase, agentless: ReadonlySet<string>): PromotionCase {
  const { verdict, fencing, leader } = found;
  const byLease = fencing === 'lease' || (verdict.state === 'failed' && verdict.fence === 'lease');
  if (!byLease || verdict.state !== 'failed' || !agentless.has(leader.host)) return found;
  return { ...found, fencing: null, verdict: { ...verdict, fence: 'impossible' } };
}

/** The old leader's process was told, or found, to take no writes: what it still had sent arrives before its link ends. */
export function linkEnds(fencing: Fencing): boolean {
  return fencing === 'gone' || fencing === 'demoted' || fencing === 'killed';
}

/** Was this record changed by the very run that owns it now? Then an earlier attempt of its promotion came through. */
export function promotedByOwner(
  record: DatabaseRecord,
): record is DatabaseRecord & { readonly promotion: Promotion } {
  const { operation, promotion } = record;
  if (operation === undefined) return false;
  return promotion?.runId === operation.runId && promotion.by === operation.workflowId;
}

/** Of a record that an earlier attempt changed: how far behind the new leader was is not known any more. */
export function outcomeOf(record: DatabaseRecord & { readonly promotion: Promotion }): PromotionOutcome {
  const { database, promotion, leader } = record;
  return { database, outcome: 'promoted', record, from: promotion.from, to: leader, behindBytes: 0 };
}

/** The follower of the record first, then the others. */
export function followersOf({ follower, extraFollowers }: DatabaseRecord): readonly Endpoint[] {
  return [...(follower === null ? [] : [follower]), ...(extraFollowers ?? [])];
}
