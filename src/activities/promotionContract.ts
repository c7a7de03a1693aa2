import type { ErrorKind } from '../fleet/errors.js';
import type { Fencing, PromotionCase, PromotionOutcome } from '../fleet/promotion.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { PromoteFollowerRequest } from '../fleet/requests.js';

export type ClaimedForPromotion =
  | {
      readonly database: string;
      readonly claimed: true;
      readonly record: DatabaseRecord;
      /** This very run promoted it already, in an attempt that nobody heard the end of. */
      readonly promoted: boolean;
    }
  | { readonly database: string; readonly claimed: false; readonly kind: ErrorKind; readonly why: string };

export interface ConfirmedFailures {
  readonly cases: readonly PromotionCase[];
  /** Too much fails at the same time: the sentence that asks for an engineer's word. null: it does not. */
  readonly breaker: string | null;
}

/** A database whose old leader takes no more writes. */
export interface FencedCase extends PromotionCase {
  readonly fencing: Fencing;
}

/** What was put right beside the record. */
export interface TidiedUp {
  /** Extra followers that follow the new leader now. */
  readonly repointed: readonly { readonly database: string; readonly follower: Endpoint }[];
  /** Extra followers that could not, and why. */
  readonly left: readonly { readonly database: string; readonly follower: Endpoint; readonly why: string }[];
}

/** On the control queue. Each takes all databases of the request at once: they are the critical path of an outage. */
export interface PromotionActivities {
  /**
   * Claims each by itself: one that somebody else owns does not hold up the others. A dry run claims nothing.
   * @throws NotFound, InvalidRequest
   */
  claimForPromotion(input: { request: PromoteFollowerRequest }): Promise<readonly ClaimedForPromotion[]>;
  /**
   * Looks at every leader and its followers, and says what is believed. Changes nothing. `patient`: looks again until
   * it is clear, at most as long as a failure takes to be sure; otherwise once.
   */
  confirmFailures(input: {
    records: readonly DatabaseRecord[];
    request: PromoteFollowerRequest;
    patient: boolean;
  }): Promise<ConfirmedFailures>;
  /**
   * Waits (heartbeating) until a host's lease has run out, and breaks it.
   * @throws LeaderHealthy when it is renewed; NotFenced when no agent holds one that could run out
   */
  breakLease(input: { host: string; why: string }): Promise<void>;
  /** Tells a process over the network to follow nobody. `gone`: it does not exist. @throws NotFenced */
  fenceOverNetwork(input: {
    database: string;
    endpoint: Endpoint;
  }): Promise<Extract<Fencing, 'gone' | 'demoted'>>;
  /** Promotes the most advanced eligible follower of each, and sets the record. @throws Unreachable (Consul) */
  promote(input: {
    cases: readonly FencedCase[];
    allowDataLoss: readonly string[];
  }): Promise<readonly PromotionOutcome[]>;
  /** Lets go of every database that this run owns. */
  releaseOwn(): Promise<void>;
  /** The catalog and the extra followers follow the record; old leaders that answer are fenced. */
  tidyAfterPromotion(input: { databases: readonly string[] }): Promise<TidiedUp>;
}
