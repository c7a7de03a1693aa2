/** Whether a follower may take over from a leader that is well. Pure. */

import type { DatabaseRecord } from './record.js';

/** What a switchover of one database would do, or why it would not. */
export interface SwitchoverPlan {
  readonly database: string;
  readonly record: DatabaseRecord;
  readonly verdict: { readonly may: true } | { readonly may: false; readonly why: string };
}
