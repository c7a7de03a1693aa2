/** What a promotion says: refusals, the notes of its runbook, and what a dry run would do. */

import type { ErrorKind } from '../fleet/errors.js';
import { showSize } from '../fleet/quantities.js';
import { showEndpoint } from '../fleet/record.js';
import type { Fencing, PromotionCase, PromotionOutcome } from '../fleet/promotion.js';
import { APPROVE_AGAIN, APPROVE_BREAKER, APPROVE_UNFENCED } from './promotionOutline.js';

export interface Refused {
  readonly database: string;
  readonly kind: ErrorKind;
  readonly why: string;
}

/** null: its leader has failed, and a follower can be promoted. */
export function refusalOf({ database, leader, verdict, choice }: PromotionCase): Refused | null {
  const name = showEndpoint(leader);
  switch (verdict.state) {
    case 'well':
      return {
        database,
        kind: 'LeaderHealthy',
        why:
          `The leader of ${database}, ${name}, is well: ${verdict.why} Nothing was changed. ` +
          `To let its follower lead in good order: redis-fleet switchover ${database}`,
      };
    case 'doubted':
      return {
        database,
        kind: 'LeaderHealthy',
        why:
          `It is not sure that the leader of ${database}, ${name}, has failed: ${verdict.why} Nothing was changed. ` +
          `See: redis-fleet why ${database}. If it still serves: redis-fleet switchover ${database}`,
      };
    case 'failed':
      return choice.may ? null : { database, kind: 'FollowerUnfit', why: choice.why };
  }
}

/** With more databases, one sentence says it for all. */
const MOST_NOTES = 8;

export function promotionNotes(
  outcomes: readonly PromotionOutcome[],
  fencings: ReadonlyMap<string, Fencing>,
): string[] {
  const promoted = outcomes.filter((one) => one.outcome === 'promoted');
  const refused = outcomes.filter((one) => one.outcome === 'refused');
  const notes = promoted
    .slice(0, MOST_NOTES)
    .map(
      ({ database, from, to, behindBytes, record }) =>
        `${database}: ${to.host} leads instead of ${from.host}, epoch ${record.epoch}, ` +
        `${behindBytes === 0 ? 'nothing known to be missing' : `${showSize(behindBytes)} behind`}. ` +
        `The old leader ${fencedHow(fencings.get(database))}.` +
        (record.follower === null ? ` It has no follower now: redis-fleet bring-up ${database}` : ''),
    );
  if (promoted.length > MOST_NOTES) {
    const most = Math.max(...promoted.map(({ behindBytes }) => behindBytes));
    notes.push(
      `And ${promoted.length - MOST_NOTES} more; the one furthest behind lacked ${showSize(most)}. Each needs a follower: redis-fleet bring-up DATABASE`,
    );
  }
  return [...notes, ...refused.slice(0, MOST_NOTES).map(({ why }) => `Not promoted: ${why}`)];
}

function fencedHow(fencing: Fencing | undefined): string {
  switch (fencing) {
    case 'gone':
      return 'is gone';
    case 'demoted':
      return 'follows nobody and takes no writes';
    case 'killed':
      return 'did not obey, and was killed';
    case 'lease':
      return 'was fenced by its agent: the lease of its host ran out';
    case 'approved':
      return 'may still live: it was not fenced, as an engineer approved';
    case undefined:
      return 'was dealt with in an earlier attempt';
  }
}

/** Of a dry run. */
export function wouldBe(found: PromotionCase, breaker: boolean): PromotionOutcome {
  const { database, leader, verdict, choice, again } = found;
  if (verdict.state !== 'failed' || !choice.may) {
    return { database, outcome: 'refused', why: refusalOf(found)?.why ?? 'It may not be promoted.' };
  }
  const approvals = [
    ...(breaker ? [APPROVE_BREAKER.name] : []),
    ...(again === null ? [] : [APPROVE_AGAIN.name]),
    ...(verdict.fence === 'impossible' ? [APPROVE_UNFENCED.name] : []),
  ];
  const { to, behindBytes } = choice;
  return {
    database,
    outcome: 'would be promoted',
    from: leader,
    to,
    behindBytes,
    fence: verdict.fence,
    approvals,
  };
}
