/**
 * A host's lease: its renewed right to lead its databases, and its agent's pulse. One document per host in Consul,
 * changed only by compare-and-set: by the agent when it renews, and by whoever has waited it out and breaks it.
 *
 * No clocks are compared. The holder counts from the moment before it sent its last successful renewal; whoever waits
 * counts from the moment after it saw the last change, and adds a margin. An agent that finds its lease broken takes a
 * new one (the next term), reads all records after that, and only then lets a leader serve that it had fenced.
 */

import type { ReplicationPosition } from './facts.js';

/** How an agent sees a process: its own ones, and the leaders of its followers. */
export type Pulse =
  /** Answers, and has its data. */
  | 'up'
  | 'loading'
  /** Its host answers, the port does not; or the process does not exist any more. */
  | 'gone'
  /** No answer for `downAfter`, although the process exists or may exist. */
  | 'silent';

/** One of the host's own processes. */
export interface ProcessPulse {
  readonly role: 'leader' | 'follower';
  readonly pulse: Pulse;
  /** Of the Redis process; null before its first answer. */
  readonly runId: string | null;
  /** As last seen. */
  readonly position: ReplicationPosition | null;
  /** Of a follower: its link to its leader. */
  readonly link: 'up' | 'down' | null;
  /** Why its agent lets it take no writes; null: it does not fence it. */
  readonly fenced: string | null;
}

export interface HostLease {
  readonly host: string;
  /** One run of an agent: a random text. */
  readonly agent: string;
  /** Grows when the lease is taken anew: by another run of the agent, or after it was broken. */
  readonly term: number;
  /** Grows with every renewal of a term. */
  readonly renewal: number;
  /** Milliseconds. */
  readonly ttl: number;
  /** Who waited the lease out and took the right away. The agent has to take a new term. */
  readonly broken?: { readonly by: string; readonly why: string };
  /** The agent stopped in good order: nobody can fence on this host. Its Redis processes run on. */
  readonly left?: true;
  /** For people only. ISO 8601, UTC. */
  readonly at: string;
  /** The host's own processes, by database. */
  readonly processes: Readonly<Record<string, ProcessPulse>>;
  /** The leaders of its followers as seen from this host, by database. */
  readonly leaders: Readonly<Record<string, Pulse>>;
}

export interface StoredLease {
  readonly lease: HostLease;
  readonly modifyIndex: number;
}

/**
 * What whoever waits adds to the time to live: for clocks that run at different rates, and for the fence itself.
 * Milliseconds.
 */
export const LEASE_MARGIN = 200;

/** What the times of a lease and of its failsafe follow from. Milliseconds. */
export interface LeaseSettings {
  readonly ttl: number;
  readonly downAfter: number;
}

/** Milliseconds; those of the lease count from the moment before the last successful renewal was sent. */
export interface LeaseTimes {
  readonly renewEvery: number;
  /** How long Consul has to answer. */
  readonly requestWithin: number;
  /** From the beginning of a renewal that failed to the beginning of the next. */
  readonly retryEvery: number;
  /** From here on, an agent that could not renew asks whether the followers still acknowledge. */
  readonly proveFrom: number;
  /** From here on a leader serves only while its follower acknowledges. */
  readonly fenceFrom: number;
  readonly proveEvery: number;
  /** How long an acknowledgement is waited for. */
  readonly proofWithin: number;
  /** The same for the first one that is asked for when the right to serve may be over already. */
  readonly firstProofWithin: number;
  /** How long an acknowledgement counts, from the moment before it was asked for. */
  readonly proofHolds: number;
  /** How long a process has to obey its fence before it is killed. */
  readonly obeyWithin: number;
}

/** An acknowledgement may take long on a busy host: no `downAfter` makes us more nervous than this. */
const LEAST_PATIENCE = 500;

/**
 * Without a renewal, and without an acknowledgement, a leader takes no writes after `fenceFrom + obeyWithin`: at most
 * 95 % of the time to live. One that lives on its follower's acknowledgements takes none `proofHolds + obeyWithin` after
 * the follower was lost: less than `downAfter`, before which nobody else counts the leader as lost, and less than two
 * thirds of the time to live, so that whoever waits for the end of the lease has waited for that, too.
 */
export function leaseTimes({ ttl, downAfter }: LeaseSettings): LeaseTimes {
  const patience = Math.max(LEAST_PATIENCE, Math.min((ttl * 2) / 3, downAfter));
  return {
    renewEvery: ttl / 3,
    requestWithin: ttl / 4,
    retryEvery: Math.min(500, ttl / 12),
    proveFrom: ttl * 0.4,
    fenceFrom: ttl * 0.75,
    proveEvery: patience * 0.1,
    proofWithin: patience * 0.6,
    firstProofWithin: patience * 0.25,
    proofHolds: patience * 0.8,
    obeyWithin: Math.min(ttl * 0.2, patience * 0.15),
  };
}

/**
 * An agent whose lease has run out fences a leader so long after the leader's follower was lost, at the latest: whoever
 * promotes that follower because its link is down waits at least so long after the link went down. Milliseconds.
 */
export function fencedAfterLosingFollower(settings: LeaseSettings): number {
  const { proofHolds, obeyWithin } = leaseTimes(settings);
  return proofHolds + obeyWithin;
}
