/** What a sweep of a host takes, in which order, and when a follower may be made to fork for it. Pure. */

import type { ProcessFacts, RdbHeader } from './facts.js';
import { sameEndpoint, showEndpoint } from './record.js';
import type { DatabaseRecord, Endpoint } from './record.js';

export interface SweepPlan {
  /** Those whose follower is on the host: who waits longest for a verified backup first. */
  readonly databases: readonly string[];
  /** What the host leads and nobody follows: its leader is left alone. */
  readonly withoutFollower: readonly { readonly database: string; readonly why: string }[];
}

export function planSweep(
  host: string,
  records: readonly DatabaseRecord[],
  backups: readonly { readonly database: string; readonly at: string }[],
): SweepPlan {
  const established = records.filter(({ epoch }) => epoch > 0);
  const since = new Map(backups.map(({ database, at }) => [database, Date.parse(at)]));
  const age = (database: string): number => since.get(database) ?? Number.NEGATIVE_INFINITY;
  return {
    databases: established
      .filter(({ follower }) => follower?.host === host)
      .map(({ database }) => database)
      .toSorted((a, b) => compare(age(a), age(b)) || compare(a, b)),
    withoutFollower: established
      .filter(({ leader, follower }) => leader.host === host && follower === null)
      .map(({ database }) => ({
        database,
        why: `${database} has no follower, and its leader on ${host} is not made to fork: run redis-fleet bring-up ${database}`,
      })),
  };
}

function compare<T extends number | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whether the process on `host` is the follower that the record names. */
export type Whereabouts =
  | { readonly here: true; readonly endpoint: Endpoint; readonly leader: Endpoint }
  /** `follower`: the host where its follower is now; null: nowhere. */
  | { readonly here: false; readonly why: string; readonly follower: string | null };

export function whereabouts(host: string, database: string, record: DatabaseRecord | null): Whereabouts {
  if (record === null || record.epoch === 0) {
    return {
      here: false,
      follower: null,
      why: `${database} has no leader yet: run redis-fleet apply`,
    };
  }
  const { leader, follower } = record;
  if (follower === null) {
    const why =
      `${database} has no follower, and its leader on ${leader.host} is not made to fork: ` +
      `run redis-fleet bring-up ${database}`;
    return { here: false, follower: null, why };
  }
  if (follower.host === host) return { here: true, endpoint: follower, leader };
  const why =
    leader.host === host
      ? `${database} is led on ${host} meanwhile, where it is left alone; it is followed on ${follower.host}`
      : `${database} is followed on ${follower.host}, not on ${host}`;
  return { here: false, follower: follower.host, why };
}

/**
 * Why the process at `endpoint` must not be made to fork for a backup; null: it may be. It has to follow the leader of
 * the record, and to have all of its data.
 */
export function unfitToSave(
  database: string,
  { endpoint, leader }: { readonly endpoint: Endpoint; readonly leader: Endpoint },
  facts: ProcessFacts,
): string | null {
  const where = `The process of ${database} on ${showEndpoint(endpoint)}`;
  const bringUp = `nothing forked; run redis-fleet bring-up ${database}`;
  const { role, loading, link } = facts;
  if (role === 'leader' || link === null) {
    return `${where} says that it leads, and the record calls it the follower: ${bringUp}`;
  }
  if (loading) return `${where} still loads its data: nothing forked; it is taken by the next sweep`;
  const followed: Endpoint = { ...leader, address: link.address, port: link.port };
  if (!sameEndpoint(followed, leader)) {
    return `${where} follows ${link.address}:${String(link.port)}, not its leader on ${showEndpoint(leader)}: ${bringUp}`;
  }
  if (link.synchronising || !link.up) {
    return link.synchronising
      ? `${where} is being synchronised: nothing forked; it is taken by the next sweep`
      : `${where} has lost its leader, so that its data is of the past: ${bringUp}`;
  }
  return null;
}

/**
 * Whether the file that lies there was saved by this very process, not before `notBefore`, and can be taken instead of
 * forking once more. Times are milliseconds since 1970; the file says its own by the second.
 */
export function isSavedSince(
  notBefore: number,
  header: RdbHeader,
  { position }: Pick<ProcessFacts, 'position'>,
): boolean {
  if (header.createdAt === null || header.position === null) return false;
  const second = Math.floor(notBefore / 1_000) * 1_000;
  return (
    Date.parse(header.createdAt) >= second &&
    header.position.id === position.id &&
    header.position.offset <= position.offset
  );
}
