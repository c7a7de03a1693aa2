/**
 * Every change that a record can undergo. Pure: a record in, the next record or a refusal out. Each may be asked
 * again after it happened, and then changes nothing: a step that is run twice ends where it ended once.
 */

import type { ErrorKind } from './errors.js';
import type { DatabaseRecord, Endpoint, Operation, Promotion } from './record.js';
import { sameEndpoint, showEndpoint } from './record.js';
import { mayClaim, sameRun } from './ownership.js';
import type { OwnerState } from './ownership.js';

/** Who changes a record, and when (ISO 8601, UTC). */
export interface Author {
  readonly operation: Operation;
  readonly at: string;
}

export interface Refusal {
  readonly refused: ErrorKind;
  readonly why: string;
}

/** `changed: false`: the record already is what was asked for, and need not be written. */
export type Change = { readonly record: DatabaseRecord; readonly changed: boolean } | Refusal;

/**
 * A record of epoch 0: provisioning began, nobody leads yet. `existing` is what is there now; what a dead provisioning
 * left at epoch 0 is taken over.
 */
export function createNew(
  existing: DatabaseRecord | null,
  wanted: { readonly database: string; readonly server: string; readonly leader: Endpoint },
  author: Author,
  ownerState: OwnerState,
): Change {
  const { database, server, leader } = wanted;
  const fresh = { database, server, epoch: 0, leader, follower: null, operation: author.operation };
  if (existing === null) return changed(fresh, author);
  if (existing.epoch > 0) {
    return {
      refused: 'RecordChanged',
      why:
        `Database ${existing.database} already has a record: epoch ${existing.epoch}, led by ${showEndpoint(existing.leader)}. ` +
        'It was left as it is. Look with `redis-fleet status`.',
    };
  }
  const verdict = mayClaim(`database ${database}`, existing.operation, author.operation, ownerState);
  if (!verdict.may) return { refused: 'DatabaseOwned', why: verdict.why };
  const same = existing.server === server && sameEndpoint(existing.leader, leader);
  if (verdict.how === 'own' && same) return unchanged(existing);
  const since =
    verdict.how === 'own' && existing.operation ? existing.operation.since : author.operation.since;
  const kept = withoutExtras(existing, existing.extraFollowers ?? []);
  return changed({ ...kept, ...fresh, operation: { ...author.operation, since } }, author);
}

/** Epoch 0 → 1: the database has its first leader and follower. */
export function establish(
  record: DatabaseRecord,
  wanted: { readonly leader: Endpoint; readonly follower: Endpoint },
  author: Author,
): Change {
  const refusal = notOwned(record, author) ?? sameHost(record, wanted.leader, wanted.follower);
  if (refusal) return refusal;
  if (!sameEndpoint(record.leader, wanted.leader)) return otherLeader(record, wanted.leader);
  if (record.epoch === 0) {
    return changed(
      { ...withoutExtras(record, [wanted.follower]), epoch: 1, follower: wanted.follower },
      author,
    );
  }
  const already =
    record.epoch === 1 && record.follower !== null && sameEndpoint(record.follower, wanted.follower);
  return already ? unchanged(record) : otherEpoch(record, 0);
}

/** The follower that would be promoted is now `follower`. */
export function setFollower(
  record: DatabaseRecord,
  wanted: { readonly epoch: number; readonly follower: Endpoint },
  author: Author,
): Change {
  const refusal =
    notOwned(record, author) ??
    notAtEpoch(record, wanted.epoch) ??
    sameHost(record, record.leader, wanted.follower);
  if (refusal) return refusal;
  const known = (record.extraFollowers ?? []).some((extra) => sameEndpoint(extra, wanted.follower));
  if (!known && record.follower !== null && sameEndpoint(record.follower, wanted.follower))
    return unchanged(record);
  return changed({ ...withoutExtras(record, [wanted.follower]), follower: wanted.follower }, author);
}

/** A follower beside the one that would be promoted. */
export function addExtraFollower(
  record: DatabaseRecord,
  wanted: { readonly epoch: number; readonly follower: Endpoint },
  author: Author,
): Change {
  const refusal =
    notOwned(record, author) ??
    notAtEpoch(record, wanted.epoch) ??
    sameHost(record, record.leader, wanted.follower);
  if (refusal) return refusal;
  const extras = record.extraFollowers ?? [];
  const known = [...followersOf(record.follower), ...extras];
  if (known.some((follower) => sameEndpoint(follower, wanted.follower))) return unchanged(record);
  return changed({ ...record, extraFollowers: [...extras, wanted.follower] }, author);
}

/** The followers as they were before this runbook changed them: undoes setFollower and addExtraFollower. */
export function restoreFollowers(
  record: DatabaseRecord,
  wanted: {
    readonly epoch: number;
    readonly follower: Endpoint | null;
    readonly extraFollowers: readonly Endpoint[];
  },
  author: Author,
): Change {
  const everyone = [...followersOf(wanted.follower), ...wanted.extraFollowers];
  const onLeader = everyone.find((follower) => follower.host === record.leader.host);
  const refusal =
    notOwned(record, author) ??
    notAtEpoch(record, wanted.epoch) ??
    (onLeader === undefined ? null : leads(record, onLeader));
  if (refusal) return refusal;
  const { extraFollowers = [], ...rest } = record;
  if (
    sameList(followersOf(record.follower), followersOf(wanted.follower)) &&
    sameList(extraFollowers, wanted.extraFollowers)
  ) {
    return unchanged(record);
  }
  const extras = wanted.extraFollowers.length === 0 ? {} : { extraFollowers: wanted.extraFollowers };
  return changed({ ...rest, follower: wanted.follower, ...extras }, author);
}

/**
 * A known follower leads from now on, with the next epoch. `follower` is the follower of the new leader: usually the
 * old leader, or null while there is none. As planned, whoever followed before goes on doing so.
 */
export function changeLeader(
  record: DatabaseRecord,
  wanted: {
    readonly epoch: number;
    readonly leader: Endpoint;
    readonly follower: Endpoint | null;
    /** The old leader had failed. */
    readonly unplanned?: true;
  },
  author: Author,
): Change {
  const refusal =
    notOwned(record, author) ??
    (wanted.follower === null ? null : sameHost(record, wanted.leader, wanted.follower));
  if (refusal) return refusal;
  if (record.epoch === wanted.epoch + 1 && sameEndpoint(record.leader, wanted.leader))
    return unchanged(record);
  if (record.epoch !== wanted.epoch) return otherEpoch(record, wanted.epoch);
  const known = [...followersOf(record.follower), ...(record.extraFollowers ?? [])];
  if (!known.some((follower) => sameEndpoint(follower, wanted.leader))) {
    return {
      refused: 'FollowerUnfit',
      why:
        `${showEndpoint(wanted.leader)} is no follower of database ${record.database}, so it may not lead it. ` +
        `The leader is still ${showEndpoint(record.leader)}.`,
    };
  }
  const named = [wanted.leader, ...followersOf(wanted.follower)];
  const rest = withoutExtras(wanted.unplanned ? record : withFollowerAside(record, named), named);
  const promotion = wanted.unplanned ? { promotion: promotionOf(record, author) } : {};
  return changed(
    { ...rest, ...promotion, epoch: record.epoch + 1, leader: wanted.leader, follower: wanted.follower },
    author,
  );
}

/**
 * The leader had failed, was started anew, and leads again, as no follower can: the next epoch all the same, so that
 * whoever knew it before notices. Its followers stay, to be brought up again.
 */
export function leadAgain(
  record: DatabaseRecord,
  wanted: { readonly epoch: number },
  author: Author,
): Change {
  const refusal = notOwned(record, author);
  if (refusal) return refusal;
  const done = record.epoch === wanted.epoch + 1 && record.promotion?.runId === author.operation.runId;
  if (done) return unchanged(record);
  if (record.epoch !== wanted.epoch) return otherEpoch(record, wanted.epoch);
  return changed({ ...record, epoch: record.epoch + 1, promotion: promotionOf(record, author) }, author);
}

function promotionOf(record: DatabaseRecord, { at, operation }: Author): Promotion {
  return { at, by: operation.workflowId, runId: operation.runId, from: record.leader };
}

/** `operation` owns the record from now on. Whether it may is decided in ownership.ts. */
export function claim(record: DatabaseRecord, author: Author): Change {
  const { operation: owner } = record;
  if (owner && sameRun(owner, author.operation) && owner.urgency === author.operation.urgency) {
    return unchanged(record);
  }
  const since = owner && sameRun(owner, author.operation) ? owner.since : author.operation.since;
  return changed({ ...record, operation: { ...author.operation, since } }, author);
}

/** Nobody owns the record any more; one that somebody else owns stays theirs. */
export function release(record: DatabaseRecord, author: Author): Change {
  const { operation: owner, ...free } = record;
  return owner && sameRun(owner, author.operation) ? changed(free, author) : unchanged(record);
}

/** A claim that did not come to its end is taken back: `owner` has the record again. */
export function handBack(record: DatabaseRecord, owner: Operation | undefined, author: Author): Change {
  const released = release(record, author);
  if ('refused' in released || !released.changed || owner === undefined) return released;
  return { ...released, record: { ...released.record, operation: owner } };
}

/** null: `author` owns the record. The refusal names who does. */
export function notOwned(record: DatabaseRecord, { operation }: Author): Refusal | null {
  if (record.operation && sameRun(record.operation, operation)) return null;
  const owner = record.operation
    ? `${record.operation.workflowId} (${record.operation.urgency}, since ${record.operation.since}) owns it now. ` +
      `Look at it with \`redis-fleet runbook show ${record.operation.workflowId}\``
    : 'nobody owns it now, and only its owner changes a record';
  return {
    refused: 'OwnershipLost',
    why: `Database ${record.database} is no longer owned by ${operation.workflowId}: ${owner}. This runbook changed nothing more.`,
  };
}

function notAtEpoch(record: DatabaseRecord, epoch: number): Refusal | null {
  return record.epoch === epoch ? null : otherEpoch(record, epoch);
}

export function otherEpoch(record: DatabaseRecord, expected: number): Refusal {
  return {
    refused: 'RecordChanged',
    why:
      `Database ${record.database} is at epoch ${record.epoch}, not ${expected}: its record changed meanwhile, and ` +
      `${showEndpoint(record.leader)} leads. It was left as it is; start the runbook again to plan from there.`,
  };
}

function otherLeader(record: DatabaseRecord, expected: Endpoint): Refusal {
  return {
    refused: 'RecordChanged',
    why:
      `The record of database ${record.database} names ${showEndpoint(record.leader)} as its leader, not ` +
      `${showEndpoint(expected)}. It was left as it is; start the runbook again to plan from there.`,
  };
}

export function sameHost(record: DatabaseRecord, leader: Endpoint, follower: Endpoint): Refusal | null {
  return leader.host === follower.host ? leads(record, follower) : null;
}

function leads(record: DatabaseRecord, follower: Endpoint): Refusal {
  return {
    refused: 'InvalidRequest',
    why: `${showEndpoint(follower)} is on the host that leads database ${record.database}: its follower must be on another host.`,
  };
}

function followersOf(follower: Endpoint | null): readonly Endpoint[] {
  return follower === null ? [] : [follower];
}

function sameList(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return (
    a.length === b.length &&
    a.every((endpoint, at) => {
      const other = b[at];
      return other !== undefined && sameEndpoint(endpoint, other);
    })
  );
}

/** One that is none of these is a further follower from now on. */
function withFollowerAside(record: DatabaseRecord, named: readonly Endpoint[]): DatabaseRecord {
  const { follower, extraFollowers = [] } = record;
  if (follower === null || named.some((one) => sameEndpoint(one, follower))) return record;
  return { ...record, extraFollowers: [...extraFollowers, follower] };
}

/** The record without these among its extra followers. */
function withoutExtras(record: DatabaseRecord, gone: readonly Endpoint[]): DatabaseRecord {
  const { extraFollowers = [], ...rest } = record;
  const left = extraFollowers.filter((extra) => !gone.some((endpoint) => sameEndpoint(endpoint, extra)));
  return left.length === 0 ? rest : { ...rest, extraFollowers: left };
}

function changed(record: Omit<DatabaseRecord, 'updatedAt' | 'updatedBy'>, author: Author): Change {
  return {
    record: { ...record, updatedAt: author.at, updatedBy: author.operation.workflowId },
    changed: true,
  };
}

function unchanged(record: DatabaseRecord): Change {
  return { record, changed: false };
}
