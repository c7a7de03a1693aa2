/** Whether a leader has failed: what several observers saw, and what may be believed of it. Pure. */

import type { Pulse } from './lease.js';

/** What the control plane sees of a process over the network. */
export type Sighting =
  /** Answers as a leader, and has its data. */
  | { readonly seen: 'leading' }
  /** Answers, but does not lead: it was reborn (following nobody), or demoted. */
  | { readonly seen: 'not leading'; readonly loading: boolean }
  | { readonly seen: 'loading' }
  /** Its host refuses the connection: there is no such process. */
  | { readonly seen: 'refused' }
  /** Milliseconds since its last answer, or since the first question. */
  | { readonly seen: 'silent'; readonly forMs: number };

export type LeaseSighting =
  /** Renewed within its time to live. `pulse`: what its agent says of the leader's process; null: nothing. */
  | { readonly state: 'held'; readonly pulse: Pulse | null }
  /** Waited out, and broken or left: its agent lets no leader serve. */
  | { readonly state: 'ran out' }
  /** Not renewed in time, but not waited out yet. */
  | { readonly state: 'running out'; readonly leftMs: number }
  /** Its agent was gone already while the leader still answered: nobody can say whether it would fence. */
  | { readonly state: 'nobody' };

export interface LeaderSightings {
  readonly database: string;
  readonly control: Sighting;
  /** The leader's host. */
  readonly lease: LeaseSighting;
  /** From the follower's host, by its agent; null: it says nothing. */
  readonly fromFollowerHost: Pulse | null;
  /** The follower's own replication link; null: the follower does not answer, or there is none. */
  readonly followerLink: { readonly up: boolean; readonly silentForMs: number } | null;
  readonly downAfterMs: number;
}

/** What must be done before somebody else may lead. */
export type FenceNeeded =
  /** The process is gone, or its agent fenced it: there is nobody to fence. */
  | 'none'
  /** Its agent lives: it fences. */
  | 'agent'
  /** It answers over the network, and its agent does not. */
  | 'network'
  /** Its host is out of reach: its lease must run out. */
  | 'lease'
  /** Nobody can: an engineer must say that it may be done. */
  | 'impossible';

export type LeaderVerdict =
  | { readonly state: 'well'; readonly why: string }
  /** Somebody misses it, and that is not enough (yet). */
  | { readonly state: 'doubted'; readonly why: string }
  | { readonly state: 'failed'; readonly why: string; readonly fence: FenceNeeded };
