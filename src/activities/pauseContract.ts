import type { PauseFork } from '../fleet/pausedFork.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { PauseWritesRequest } from '../fleet/requests.js';
import type { ForkBaseline } from './contracts.js';

/** What forks while the writes of a leader wait. */
export type ForkMeanwhile =
  /** The leader writes its data file. */
  | { readonly what: 'save' }
  /** `source`, which is the leader or follows it, gives all its data to these, by one fork. */
  | { readonly what: 'follower'; readonly source: ForkBaseline; readonly followers: readonly Endpoint[] }
  | { readonly what: 'nothing' };

export interface ForkInPauseInput {
  readonly database: string;
  /** Its writes wait. */
  readonly leader: ForkBaseline;
  /** At most so long: Redis itself ends the pause, whoever dies. */
  readonly seconds: number;
  readonly fork: ForkMeanwhile;
}

/** Milliseconds and bytes. */
export interface PausedFork {
  /** By the leader's own clock. null: it was an attempt before this one that paused, for `seconds` at most. */
  readonly pausedMs: number | null;
  /** The child lived so long, as seen from outside. null: as above, or nobody forked. */
  readonly forkMs: number | null;
  /** Copied on write for the child, by Redis's own count. null: nobody forked. */
  readonly copyOnWrite: number | null;
  /** The child outlived the pause, and the host had the memory for that. */
  readonly outlasted: boolean;
}

/** On `host/<host>` of the process that forks. The caller holds that host's fork permit. */
export interface PauseHostActivities {
  /**
   * Pauses writes on the leader, has one process fork, and gives writes back as soon as its child has ended, or before
   * the pause ends. A child that would outlive the pause on a host without memory for that is called off.
   * Looks first whether an attempt before this one did it, or still has a child.
   * @throws NoHeadroom (nothing forked, or the child was called off), LeaderUnfit, FollowerUnfit
   */
  forkInPause(input: ForkInPauseInput): Promise<PausedFork>;
}

/** What a pause of writes of one database would be. */
export interface PausePlan {
  readonly database: string;
  readonly record: DatabaseRecord;
  readonly usedMemory: number;
  /** How long its fork may take. */
  readonly seconds: number;
  /** null: it can be done. */
  readonly problem: string | null;
}

/** On the control queue. */
export interface PauseActivities {
  /** Looks at every leader of the request, changes nothing. @throws NotFound */
  planPause(input: { request: PauseWritesRequest }): Promise<readonly PausePlan[]>;
  /** Ends a pause of writes. One that cannot be reached ends it by itself. */
  resumeWrites(input: { endpoint: Endpoint }): Promise<void>;
}

export type { PauseFork };
