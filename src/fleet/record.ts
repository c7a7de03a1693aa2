/**
 * The record: the one document per database that says who leads. Applications read `leader.address` and
 * `leader.port`. Every change is a compare-and-set; epochs only grow.
 */

/** One Redis process: on which host, and where to reach it. */
export interface Endpoint {
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

/**
 * How urgent a runbook is. A more urgent one may take a database from a less urgent one; equals never.
 * routine: backups, checks. planned: provisioning, bring-up, moves, switchover. urgent: promotion.
 */
export type Urgency = 'routine' | 'planned' | 'urgent';

/** The runbook that owns a database now. Only its owner changes the record, but for a takeover. */
export interface Operation {
  /** Workflow type, e.g. `bringUpFollower`. */
  readonly type: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly urgency: Urgency;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** An unplanned change of leader. */
export interface Promotion {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Workflow id, and its run. */
  readonly by: string;
  readonly runId?: string;
  /** The leader that had failed. It serves no writes again before it was brought up as a follower. */
  readonly from: Endpoint;
}

export interface DatabaseRecord {
  readonly database: string;
  readonly server: string;
  /** 0 while the database is being provisioned and nobody leads; 1 for its first leader; grows with every change. */
  readonly epoch: number;
  readonly leader: Endpoint;
  readonly follower: Endpoint | null;
  /** Followers beside the one that would be promoted, e.g. the future pair during a move. */
  readonly extraFollowers?: readonly Endpoint[];
  readonly operation?: Operation;
  /** The last time a follower was promoted because its leader had failed; a planned change leaves it as it is. */
  readonly promotion?: Promotion;
  /** ISO 8601, UTC. */
  readonly updatedAt: string;
  /** Workflow id. */
  readonly updatedBy: string;
}

/** A record with the Consul index that a compare-and-set must name. */
export interface StoredRecord {
  readonly record: DatabaseRecord;
  readonly modifyIndex: number;
}

/** The single right to fork a large process on a host now. */
export interface ForkPermit {
  readonly host: string;
  readonly database: string;
  readonly reason: string;
  readonly operation: Operation;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.host === b.host && a.address === b.address && a.port === b.port;
}

/** The database of `records` that has a process there; null: none. */
export function holderOf(endpoint: Endpoint, records: readonly DatabaseRecord[]): DatabaseRecord | null {
  return (
    records.find(({ leader, follower, extraFollowers = [] }) =>
      [leader, follower, ...extraFollowers].some((one) => one !== null && sameEndpoint(one, endpoint)),
    ) ?? null
  );
}

export function showEndpoint(endpoint: Endpoint): string {
  return `${endpoint.host} (${endpoint.address}:${endpoint.port})`;
}
