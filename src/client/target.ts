/** Where a client connects, and how long it waits before it tries again. Pure. */

import type { DatabaseRecord, Endpoint } from '../fleet/record.js';

/** Whom a client talks to: the one that takes writes, or the one that would be promoted. */
export type Role = 'leader' | 'follower';

/** What a client needs of a record. */
export type KnownRecord = Pick<DatabaseRecord, 'database' | 'epoch' | 'leader' | 'follower' | 'promotion'>;

/**
 * null: nobody to talk to. A follower that is out of reach, or that does not exist, is replaced by the leader.
 */
export function chooseTarget(
  record: KnownRecord | null,
  role: Role,
  outOfReach: (endpoint: Endpoint) => boolean,
): Endpoint | null {
  // At epoch 0 a database is being provisioned, and nobody leads.
  if (record === null || record.epoch === 0) return null;
  const { leader, follower } = record;
  if (role === 'leader' || follower === null || outOfReach(follower)) return leader;
  return follower;
}

export function sameAddress(a: Endpoint | null, b: Endpoint | null): boolean {
  return a !== null && b !== null && a.address === b.address && a.port === b.port;
}

/** A planned change answers what is under way within milliseconds, but its worker may be held up. */
const PLANNED_GRACE_MS = 1_000;

/**
 * Milliseconds for which the old leader's last answers are waited for. By a planned change it lives, and whatever waits
 * there is refused as soon as writes are let go on; after a promotion it is dead or hangs, mostly.
 */
export function graceFor(record: KnownRecord | null, graceMs: number): number {
  return record !== null && record.promotion === undefined ? Math.max(graceMs, PLANNED_GRACE_MS) : graceMs;
}

/** Nobody has to move. */
export function sameForClients(a: KnownRecord, b: KnownRecord): boolean {
  const sameFollower = a.follower === null ? b.follower === null : sameAddress(a.follower, b.follower);
  return a.epoch === b.epoch && sameAddress(a.leader, b.leader) && sameFollower;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 500;

/**
 * Milliseconds before an endpoint that failed `failures` times in a row is tried again; a change of the record ends
 * the pause. The first try after a loss is at once: most lost connections are just that.
 */
export function pauseAfter(failures: number): number {
  return failures <= 1 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (failures - 2), LONGEST_PAUSE_MS);
}
