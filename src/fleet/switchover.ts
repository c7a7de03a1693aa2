/** Whether a follower may take over from a leader that is well, and where a hand-over that was begun goes on. Pure. */

import type { ProcessFacts } from './facts.js';
import type { Fleet, Host } from './fleet.js';
import { BLACK_HOLE, isPointedAt, linkTo, othersWaiting } from './gates.js';
import type { HostLease } from './lease.js';
import { hostsOf, zoneProblem } from './placement.js';
import { showEndpoint, type DatabaseRecord, type Endpoint } from './record.js';

export type SwitchoverVerdict = { readonly may: true } | { readonly may: false; readonly why: string };

/** What a switchover of one database would do, or why it would not. */
export interface SwitchoverPlan {
  readonly database: string;
  readonly record: DatabaseRecord;
  readonly verdict: SwitchoverVerdict;
  /** `total_forks` of both as they are now, to prove afterwards that nobody forked. null: one did not answer. */
  readonly forks: { readonly leader: number; readonly follower: number } | null;
}

export type Seen =
  | { readonly reachable: true; readonly facts: ProcessFacts }
  | { readonly reachable: false; readonly why: string };

export interface SwitchoverSight {
  readonly record: DatabaseRecord;
  readonly leader: Seen;
  readonly follower: Seen;
  /** Settings of the follower's gate that are open: it must not fork as soon as it leads. */
  readonly openGates: readonly string[];
  /** Of the follower's host. null: its agent never held one. */
  readonly followerLease: HostLease | null;
  readonly expectedLeader?: string;
  /** It leads a pair of its own afterwards, whose zones were looked at: those of the old leader do not matter. */
  readonly withFollowerOfItsOwn?: boolean;
}

/** The stream that a follower must catch up with while writes are paused. Bytes. */
export const MOST_LAG = 4 * 1024 ** 2;
/** A follower acknowledges every second. Seconds. */
const MOST_SILENCE_S = 2;

/** Every reason is a sentence that says what to do; the first that applies is the one to begin with. */
export function judgeSwitchover(
  sight: SwitchoverSight,
  fleet: Pick<Fleet, 'servers' | 'detection'>,
): SwitchoverVerdict {
  const why = recordProblem(sight, fleet) ?? leaderProblem(sight) ?? followerProblem(sight, fleet);
  return why === null ? { may: true } : { may: false, why: `${why} Nothing was changed.` };
}

function recordProblem(
  { record, expectedLeader, followerLease, withFollowerOfItsOwn = false }: SwitchoverSight,
  fleet: Pick<Fleet, 'servers'>,
): string | null {
  const { database, epoch, leader, follower } = record;
  if (epoch === 0) {
    return `Database ${database} is still being provisioned and has no leader yet. See: redis-fleet status`;
  }
  if (expectedLeader !== undefined && leader.host !== expectedLeader) {
    return (
      `Database ${database} is led by ${showEndpoint(leader)} since epoch ${epoch}, and not by ${expectedLeader} as was expected. ` +
      'Look who leads (redis-fleet status), and start again with what you find.'
    );
  }
  if (follower === null) {
    return `Database ${database} has no follower that could take over. Bring one up: redis-fleet bring-up ${database}`;
  }
  const [from, to] = [hostNamed(fleet, leader), hostNamed(fleet, follower)];
  const unknown = from === undefined ? leader : to === undefined ? follower : null;
  if (from === undefined || to === undefined) {
    return (
      `Host ${unknown?.host ?? '?'} of database ${database} is not in the applied fleet file, so its zone is unknown. ` +
      'Add it to the file and apply it: redis-fleet apply'
    );
  }
  const zone = withFollowerOfItsOwn ? null : zoneProblem(from, to);
  if (zone !== null) {
    return `Database ${database} may not be handed over: ${zone}. Bring up a follower in another zone: redis-fleet bring-up ${database} --host HOST`;
  }
  if (followerLease?.left === true || followerLease?.broken !== undefined) {
    const state =
      followerLease.left === true
        ? 'was stopped'
        : `lost its lease to ${followerLease.broken?.by ?? 'another'}`;
    return (
      `The agent of ${follower.host} ${state}, and only a host with a lease may lead ${database}. ` +
      `See that it runs: redis-fleet agent --host ${follower.host}`
    );
  }
  return null;
}

function leaderProblem({ record: { database, leader: at }, leader }: SwitchoverSight): string | null {
  const who = `The leader of ${database}, ${showEndpoint(at)},`;
  if (!leader.reachable) {
    return (
      `${who} does not answer (${leader.why}). A switchover needs one that is well; ` +
      `one that failed is replaced by: redis-fleet promote ${database}`
    );
  }
  if (leader.facts.loading) return `${who} still loads its data. Wait until it serves, then start again.`;
  if (leader.facts.role !== 'leader') {
    return `${who} does not lead: it follows ${followed(leader.facts)}. See: redis-fleet check`;
  }
  return null;
}

function followerProblem(
  { record: { database, leader: leaderAt, follower: at }, leader, follower, openGates }: SwitchoverSight,
  { detection }: Pick<Fleet, 'detection'>,
): string | null {
  if (at === null || !leader.reachable) return null;
  const who = `The follower of ${database}, ${showEndpoint(at)},`;
  const bringUp = `bring it up: redis-fleet bring-up ${database}`;
  if (!follower.reachable) return `${who} does not answer (${follower.why}). Look at its host, or ${bringUp}`;
  const [leading, following] = [leader.facts, follower.facts];
  if (following.loading) return `${who} still loads its data. Wait until it has caught up, then start again.`;
  if (following.role === 'leader') {
    return `${who} leads as well, so it no longer has what its leader has. Find out who promoted it (redis-fleet check), then ${bringUp}`;
  }
  if (!isPointedAt(following, leaderAt)) {
    return `${who} follows ${followed(following)} and not its leader ${showEndpoint(leaderAt)}. To mend that, ${bringUp}`;
  }
  if (following.link?.synchronising === true) {
    return `${who} is in the middle of a full synchronisation. Wait until that ended, then start again.`;
  }
  if (following.link?.up !== true) {
    return `${who} has lost its connection to its leader. Look at the network between the two and at its redis.log, or ${bringUp}`;
  }
  const link = linkTo(leading, at);
  if (link?.state !== 'online') {
    return `${who} is not connected to its leader in the leader's own eyes (${link?.state ?? 'unknown to it'}). Wait a moment and start again, or ${bringUp}`;
  }
  if (following.position.id !== leading.position.id) {
    return `${who} has another replication history than its leader. To mend that, ${bringUp}`;
  }
  if (link.lag > MOST_SILENCE_S) {
    return `${who} last acknowledged ${link.lag} s ago. Look at the network between the two, then start again.`;
  }
  const lag = leading.position.offset - following.position.offset;
  const limit = Math.min(detection.lagLimit, MOST_LAG);
  if (lag > limit) {
    return `${who} is ${lag} bytes behind its leader, and may be ${limit}: writes would be paused too long. Wait until it has caught up (redis-fleet status), then start again.`;
  }
  if (following.saving) {
    return `${who} is writing a backup, and would need memory for every write that it takes as a leader meanwhile. Wait until that ended, then start again.`;
  }
  if (following.maxmemory > 0 && (leading.maxmemory === 0 || following.maxmemory < leading.maxmemory)) {
    return `${who} may use ${following.maxmemory} bytes of memory and its leader ${leading.maxmemory}: it would refuse writes that the leader takes. Give both the same maxmemory, then start again.`;
  }
  const [waiting] = othersWaiting(following, leaderAt);
  if (waiting !== undefined) {
    return `${waiting.address}:${waiting.port} waits at ${showEndpoint(at)} for a full synchronisation, and would make it fork one day. Stop that process or let it go, then start again.`;
  }
  if (openGates.length > 0) {
    return `${who} has an open gate (${openGates.join(', ')}): somebody could make it fork. See: redis-fleet check`;
  }
  return null;
}

function hostNamed({ servers }: Pick<Fleet, 'servers'>, { host }: Endpoint): Host | undefined {
  return hostsOf({ servers }).find(({ name }) => name === host);
}

function followed({ link }: ProcessFacts): string {
  return link === null ? 'nobody' : `${link.address}:${link.port}`;
}

/** One of the two processes of a hand-over. `gone`: its host refuses the connection, so there is no such process. */
export type SideSeen =
  | { readonly seen: 'up'; readonly facts: ProcessFacts }
  | { readonly seen: 'gone'; readonly why: string }
  | { readonly seen: 'silent'; readonly why: string };

/** Where an attempt begins: one before it may have been killed anywhere, or this is the first. */
export type HandOverStart =
  /** The old leader takes writes, or may in a moment: nothing is changed yet. */
  | { readonly at: 'the beginning' }
  /** The old leader follows the new one, which follows it in turn: nobody takes writes. */
  | { readonly at: 'demoted' }
  /** The same, and the new one cannot lead, nor does it: writes go back to the old leader. */
  | { readonly at: 'undoing'; readonly why: string }
  /** The new one leads. The record does not say so yet. */
  | { readonly at: 'promoted' }
  /** The old leader is demoted, and nobody can say whether the new one leads: it must be fenced first. */
  | { readonly at: 'in doubt'; readonly why: string }
  /** Not what a hand-over leaves behind: somebody else was at work, or both are lost. */
  | { readonly at: 'nowhere'; readonly why: string };

/** The record names `from` as the leader, and is owned by who asks. Nobody else's connections to the two are left. */
export function handOverStart(from: Endpoint, to: Endpoint, old: SideSeen, next: SideSeen): HandOverStart {
  const nextLeads = next.seen === 'up' && next.facts.role === 'leader';
  switch (old.seen) {
    case 'silent':
      return nextLeads
        ? {
            at: 'nowhere',
            why: `${showEndpoint(to)} leads already, and whether ${showEndpoint(from)} takes writes is unknown: ${old.why}.`,
          }
        : { at: 'nowhere', why: `${showEndpoint(from)} does not answer: ${old.why}.` };
    case 'gone':
      // A process that is started anew follows nobody and takes no writes: the one that leads has everything.
      return nextLeads
        ? { at: 'promoted' }
        : { at: 'nowhere', why: `${showEndpoint(from)} is gone: ${old.why}.` };
    case 'up':
      break;
  }
  if (old.facts.role === 'leader') {
    return nextLeads
      ? { at: 'nowhere', why: `${showEndpoint(from)} leads, and so does ${showEndpoint(to)}.` }
      : { at: 'the beginning' };
  }
  // Started anew, or fenced: it takes no writes either.
  if (nextLeads && isPointedAt(old.facts, BLACK_HOLE)) return { at: 'promoted' };
  if (!isPointedAt(old.facts, to)) {
    return { at: 'nowhere', why: `${showEndpoint(from)} follows ${followed(old.facts)}.` };
  }
  if (nextLeads) return { at: 'promoted' };
  if (next.seen === 'silent') {
    return { at: 'in doubt', why: `${showEndpoint(to)} does not answer: ${next.why}` };
  }
  if (next.seen === 'gone') return { at: 'undoing', why: `${showEndpoint(to)} is gone: ${next.why}` };
  const { facts } = next;
  const complete = !facts.loading && isPointedAt(facts, from) && facts.position.id === old.facts.position.id;
  return complete
    ? { at: 'demoted' }
    : { at: 'undoing', why: `${showEndpoint(to)} follows ${followed(facts)} and cannot take over` };
}
