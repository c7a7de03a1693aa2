/** Which follower leads next when a leader has failed, and when an engineer has to say so first. Pure. */

import type { LeaderVerdict } from './failure.js';
import type { DatabaseRecord, Endpoint } from './record.js';

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
  | { readonly database: string; readonly outcome: 'refused'; readonly why: string };

/** A database of the request, claimed, with what is believed of its leader. */
export interface PromotionCase {
  readonly database: string;
  readonly record: DatabaseRecord;
  readonly verdict: LeaderVerdict;
}
