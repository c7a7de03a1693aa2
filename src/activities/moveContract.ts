/** What a move asks of the systems beside what bring-ups and switchovers do. */

import type { MovePlanWithForks } from '../fleet/move.js';
import type { Endpoint } from '../fleet/record.js';
import type { MoveDatabaseRequest } from '../fleet/requests.js';
import type { ForkBaseline } from './contracts.js';

/** A pair that was seen at work. */
export interface ProvenPair {
  /** Of the new leader's process since it was started. */
  readonly forks: number;
  /** Of the stream, where both stood. */
  readonly offset: number;
}

/** On the control queue. */
export interface MoveActivities {
  /** Where the database goes, and which processes come and go. Changes nothing. @throws NotFound, InvalidRequest */
  planMove(input: { request: MoveDatabaseRequest }): Promise<MovePlanWithForks>;
  /** Where the database is now; the epoch must still be `epoch`. @throws OwnershipLost, RecordChanged */
  recordMove(input: {
    database: string;
    epoch: number;
    server: string;
    follower: Endpoint;
    extraFollowers: readonly Endpoint[];
  }): Promise<void>;
  /**
   * The leader takes a write (one that changes nothing), the follower gets what follows it, and nobody forked.
   * @throws LeaderUnfit, FollowerUnfit, NotCaughtUp, LeaderForked
   */
  provePair(input: {
    database: string;
    leader: ForkBaseline;
    follower: Endpoint;
    deadlineMs: number;
  }): Promise<ProvenPair>;
}

/** On `host/<host>`. */
export interface MoveHostActivities {
  /**
   * Points a follower of this host at `source` by way of the agent, which passes the data on no faster than it may; in
   * the end the follower is pointed at it directly. The gate is opened by `synchroniseFully`, at the same time.
   * @throws FollowerUnfit, Unreachable
   */
  followPaced(input: {
    follower: Endpoint;
    source: Endpoint;
    bytesPerSecond: number;
    deadlineMs: number;
  }): Promise<void>;
}
