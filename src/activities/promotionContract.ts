import type { PromotionCase, PromotionOutcome } from '../fleet/promotion.js';
import type { Detected, PromoteFollowerRequest } from '../fleet/requests.js';
import type { DatabaseRecord } from '../fleet/record.js';

export type ClaimedForPromotion =
  | { readonly database: string; readonly claimed: true; readonly record: DatabaseRecord }
  | { readonly database: string; readonly claimed: false; readonly why: string };

/** On the control queue. Each takes all databases of the request at once: they are the critical path of an outage. */
export interface PromotionActivities {
  /** Claims each by itself: one that somebody else owns does not hold up the others. @throws NotFound */
  claimForPromotion(input: { request: PromoteFollowerRequest }): Promise<readonly ClaimedForPromotion[]>;
  /** Looks at every leader once more, and says what is believed of it. Changes nothing. */
  confirmFailures(input: {
    records: readonly DatabaseRecord[];
    detected?: Detected;
  }): Promise<readonly PromotionCase[]>;
  /** Waits (heartbeating) until a host's lease has run out, and breaks it. @throws LeaderHealthy when it is renewed */
  breakLease(input: { host: string; why: string }): Promise<void>;
  /** Promotes the most advanced eligible follower of each, and sets the record. */
  promote(input: {
    cases: readonly PromotionCase[];
    allowDataLoss: readonly string[];
  }): Promise<readonly PromotionOutcome[]>;
}
