/**
 * What an agent does with the leaders of its host, given its lease and what it knows of them. Pure: times come in.
 *
 * While the lease is renewed, leaders serve. When it is not, a leader goes on serving only as long as its follower still
 * acknowledges: then nobody was promoted in its place. A leader that is fenced serves again only under a lease that is
 * held, after its record was read within that very term: whoever breaks a lease to promote somebody has claimed the
 * record before, so one of the two sees the other.
 */

import type { LeaseTimes } from './lease.js';
import type { DatabaseRecord, Endpoint } from './record.js';
import { sameEndpoint } from './record.js';

/** What a record says of a process. */
export type Standing =
  /** No readable record was ever seen. */
  | 'unknown'
  /** Its database is being provisioned: nobody leads yet. */
  | 'not yet'
  | 'leader'
  | 'follower'
  /** It has no part in its database any more. */
  | 'not named';

/** A process of this host that leads, or may. Times by the lease's clock, in milliseconds. */
export interface LeadingProcess {
  readonly standing: Standing;
  /** The record names somebody else, whose acknowledgement proves that nobody was promoted. */
  readonly witnessed: boolean;
  /**
   * `closed`: it takes no writes. `closing`, `opening`: it was told, and has not said yet that it obeyed. One that hangs
   * may obey long after: an opening that is overtaken by the lease's end is followed by a closing.
   */
  readonly fence: 'open' | 'closing' | 'closed' | 'opening';
  /** When it was told to take no writes. */
  readonly closingSince: number | null;
  /** Before the last acknowledgement that came was asked for. */
  readonly provenAt: number | null;
  /** The last time somebody asked for an acknowledgement. */
  readonly asked: { readonly at: number; readonly pending: boolean } | null;
  /** The last time the record was read for certain, within which term, and whether the process may lead by it. */
  readonly consulted: { readonly at: number; readonly term: number; readonly mayLead: boolean } | null;
}

/** The lease as its holder counts it: from the moment before the last successful renewal was sent. */
export interface OwnLease {
  /** 0: not held yet by this run of the agent; `sentAt` is its start then. */
  readonly term: number;
  /** Somebody had waited the last one out and broken it: to promote whom the record tells. */
  readonly afterBreak: boolean;
  readonly sentAt: number;
}

export type Move =
  | 'none'
  /** Ask for an acknowledgement. */
  | 'prove'
  /** Take no writes from here on. */
  | 'fence'
  /** It did not obey in time. */
  | 'kill'
  /** Read the record for certain. */
  | 'consult'
  /** Take writes again. */
  | 'serve'
  /** It leads, and its record does not name it: demote it for good. */
  | 'depose';

/** How long a reading of the record is good for, and how soon one that said no is repeated. Milliseconds. */
const YES_HOLDS = 250;
const NO_HOLDS = 2_000;

export function nextMove(process: LeadingProcess, lease: OwnLease, times: LeaseTimes, now: number): Move {
  const { standing, fence, closingSince } = process;
  if (standing === 'unknown' || standing === 'not yet') return 'none';
  const age = now - lease.sentAt;
  if (age < times.fenceFrom) {
    if (standing === 'not named') return lease.term > 0 ? 'depose' : 'none';
    if (lease.term > 0) {
      if (fence === 'opening') return 'none';
      if (fence !== 'open') return towardsServing(process, lease, times, now);
      // A record may have changed while nobody here could see it.
      if (process.consulted?.term !== lease.term) return beforeConsulted(process, lease, times, now);
      if (lease.afterBreak && standing === 'leader' && !process.consulted.mayLead) return 'fence';
    }
    return age >= times.proveFrom ? proof(process, times, now) : 'none';
  }
  if (fence === 'closed' || !process.witnessed) return 'none';
  if (fence === 'closing') {
    return closingSince !== null && now >= closingSince + times.obeyWithin ? 'kill' : 'none';
  }
  return onAcknowledgements(process, times, now);
}

/** Nothing but its follower says that nobody else was promoted. */
function onAcknowledgements(process: LeadingProcess, times: LeaseTimes, now: number): Move {
  const { provenAt, asked } = process;
  if (isProven(process, times, now)) return proof(process, times, now);
  // An agent that was frozen itself knows nothing: it asks once before it fences.
  if (asked === null || asked.at < now - times.proofHolds) return 'prove';
  const isThatOnce = provenAt === null || provenAt + times.proofHolds <= asked.at;
  return isThatOnce && asked.pending && now < asked.at + times.firstProofWithin ? 'none' : 'fence';
}

/** Whoever broke the lease before this term may have promoted somebody: the term alone is no right to serve. */
function beforeConsulted(process: LeadingProcess, lease: OwnLease, times: LeaseTimes, now: number): Move {
  if (!lease.afterBreak || !process.witnessed) return 'consult';
  const move = onAcknowledgements(process, times, now);
  return move === 'none' ? 'consult' : move;
}

function isProven({ provenAt }: LeadingProcess, { proofHolds }: LeaseTimes, now: number): boolean {
  return provenAt !== null && now < provenAt + proofHolds;
}

function proof({ witnessed, asked }: LeadingProcess, { proveEvery }: LeaseTimes, now: number): Move {
  if (!witnessed) return 'none';
  return asked === null || (!asked.pending && now >= asked.at + proveEvery) ? 'prove' : 'none';
}

function towardsServing(
  { fence, closingSince, consulted }: LeadingProcess,
  { term }: OwnLease,
  { obeyWithin }: LeaseTimes,
  now: number,
): Move {
  if (consulted?.term !== term) return 'consult';
  const { at, mayLead: yes } = consulted;
  if (!yes && fence === 'closing' && closingSince !== null && now >= closingSince + obeyWithin) return 'kill';
  if (now >= at + (yes ? YES_HOLDS : NO_HOLDS)) return 'consult';
  return yes ? 'serve' : 'none';
}

/** @param record as last seen; null: none was */
export function standingOf(self: Endpoint, record: DatabaseRecord | null): Standing {
  if (record === null) return 'unknown';
  if (record.epoch === 0) return 'not yet';
  if (sameEndpoint(record.leader, self)) return 'leader';
  const others = [record.follower, ...(record.extraFollowers ?? [])];
  return others.some((other) => other !== null && sameEndpoint(other, self)) ? 'follower' : 'not named';
}

/** Whose acknowledgement proves that `self` may still lead: any one of them. */
export function witnessesOf(self: Endpoint, record: DatabaseRecord): readonly Endpoint[] {
  if (!sameEndpoint(record.leader, self)) return [record.leader];
  return record.follower === null ? (record.extraFollowers ?? []) : [record.follower];
}

/** Runbooks that keep a leader from taking writes, and let it serve themselves. */
const KEEPS_FENCED: ReadonlySet<string> = new Set(['promoteFollower', 'restoreDatabase']);

/** By a record that was read under a lease that is held: may a fenced process take writes again? */
export function mayLead(self: Endpoint, record: DatabaseRecord): boolean {
  return standingOf(self, record) === 'leader' && !KEEPS_FENCED.has(record.operation?.type ?? '');
}
