import type { SwitchoverPlan } from '../fleet/switchover.js';
import type { SwitchoverRequest } from '../fleet/requests.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';

/** What a hand-over did, measured. */
export interface HandedOver {
  readonly database: string;
  /** After it. */
  readonly record: DatabaseRecord;
  readonly from: Endpoint;
  readonly to: Endpoint;
  /** From the pause to the change of the record, as its caller measured it. null: an attempt before this one did it. */
  readonly pausedMs: number | null;
}

export interface HandOverInput {
  readonly database: string;
  /** Before it. */
  readonly epoch: number;
  readonly from: Endpoint;
  readonly to: Endpoint;
}

/** On the control queue. */
export interface SwitchoverActivities {
  /** Looks at every database of the request, changes nothing. @throws NotFound */
  planSwitchover(input: { request: SwitchoverRequest }): Promise<readonly SwitchoverPlan[]>;
  /**
   * Pause, equal offsets, demote, promote, record, unpause. Either all of it, or writes go on at the old leader.
   * @throws HandOverUndone, LeaderUnfit, OwnershipLost, RecordChanged; NotFenced: nobody leads, and the new leader must
   * be fenced before this is called again; Unreachable: call it again
   */
  handOver(input: HandOverInput): Promise<HandedOver>;
  /**
   * Ends a hand-over that was broken off anywhere: finishes it where the new leader leads, gives writes back to the old
   * one where nobody does, and begins none. Leaves alone what others own. @throws NotFenced, Unreachable
   */
  settleHandOver(input: HandOverInput): Promise<void>;
  /** The old leader follows the new one, partially resynchronised, and nobody forked. @throws LeaderForked, NotCaughtUp */
  awaitResynchronised(input: {
    database: string;
    leader: Endpoint;
    follower: Endpoint;
    forksBefore: { leader: number; follower: number };
    deadlineMs: number;
  }): Promise<void>;
  /** Closes the applications' connections to a process that does not lead any more. Returns how many. */
  letGoOfClients(input: { endpoint: Endpoint }): Promise<number>;
}
