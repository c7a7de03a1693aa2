/** What is known of one process by the pulse of its host. Pure. */

import type { ReplicationPosition } from '../fleet/facts.js';
import type { Pulse } from '../fleet/lease.js';
import type { ReplicationFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import type { Peer } from './watching.js';

export interface Sight {
  readonly database: string;
  readonly endpoint: Endpoint;
  /** null: not one of this host, or not running. */
  readonly pid: number | null;
  /** null: not asked long enough to say. */
  readonly pulse: Pulse | null;
  /** As last seen; null before its first answer. */
  readonly replication: ReplicationFacts | null;
  readonly runId: string | null;
  /** `min-replicas-to-write`: how a leader is kept from taking writes; null before it was read. */
  readonly minReplicas: number | null;
}

/** Somebody to be watched; `gone`: its process is known not to run. */
export type Wanted = Peer & { readonly gone: boolean };

/** Before it was asked. What was seen last of a process that is gone is still worth saying. */
export function firstSight({ database, endpoint, pid, gone }: Wanted, last: Sight | null): Sight {
  const pulse: Pulse | null = gone ? 'gone' : null;
  if (gone && last?.endpoint.port === endpoint.port) return { ...last, pid, pulse };
  return { database, endpoint, pid, pulse, replication: null, runId: null, minReplicas: null };
}

export function isSame(sight: Sight, { endpoint, pid }: Peer): boolean {
  return (
    endpoint.address === sight.endpoint.address && endpoint.port === sight.endpoint.port && sight.pid === pid
  );
}

/** Everything that others must hear of at once: not the position, which moves all the time. */
export function isOther(before: Sight, now: Sight): boolean {
  return (
    before.pulse !== now.pulse ||
    before.runId !== now.runId ||
    before.minReplicas !== now.minReplicas ||
    before.replication?.role !== now.replication?.role ||
    linkOf(before.replication) !== linkOf(now.replication)
  );
}

export function linkOf(replication: ReplicationFacts | null): 'up' | 'down' | null {
  if (!replication?.link) return null;
  return replication.link.up ? 'up' : 'down';
}

export function positionOf(replication: ReplicationFacts | null): ReplicationPosition | null {
  return replication?.position ?? null;
}
