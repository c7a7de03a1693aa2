/**
 * Looks at leaders that are said to have failed, from all sides: over the network, by their followers' links, and by
 * what the agents of both hosts published. Looks again until it is clear, or the time is up. Changes nothing.
 */

import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from '../connections/credentials.js';
import { FleetError } from '../fleet/errors.js';
import { judgeLeader } from '../fleet/failure.js';
import type { LeaderSightings, LeaderVerdict, LeaseSighting, Sighting } from '../fleet/failure.js';
import { isPointedAt } from '../fleet/gates.js';
import { LEASE_MARGIN } from '../fleet/lease.js';
import type { HostLease, ProcessPulse, Pulse, StoredLease } from '../fleet/lease.js';
import type { Fencing } from '../fleet/promotion.js';
import type { Candidate, CandidateSeen } from '../fleet/promotionChoice.js';
import { followersOf } from '../fleet/promotion.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { LeaseStore } from '../records/leases.js';
import { candidateSeen, quickLookAtLost } from './quickLook.js';
import type { QuickLook } from './quickLook.js';
import type { WarmConnections } from './warmConnections.js';

export interface Seen {
  readonly verdict: LeaderVerdict;
  /** Its host refuses the connection. */
  readonly refused: boolean;
  /** How it takes no more writes, where nothing has to be done for that. */
  readonly fencing: Fencing | null;
  /** Of the leader, as the agent of its host last published it. */
  readonly pulse: ProcessPulse | null;
  readonly followers: readonly Candidate[];
  /** The leader's own process where it answers. */
  readonly leader: CandidateSeen | null;
}

export interface LookOptions {
  readonly downAfterMs: number;
  /** Somebody has seen it silent for `downAfter` already. */
  readonly silentBefore: (database: string) => boolean;
  /** A planned runbook that owns a database may have demoted its leader on purpose. */
  readonly mindOwners: boolean;
  /** How long it may take until the last verdict is taken as it is. 0: one look. */
  readonly patienceMs: number;
}

export interface LeaderLooks {
  /** By database. @throws FleetError Unreachable (Consul) */
  look(records: readonly DatabaseRecord[], options: LookOptions): Promise<ReadonlyMap<string, Seen>>;
}

/** Of one question to a leader: a host that drops packets gives no answer at all. */
const LEADER_TIMEOUT_MS = 200;
const LOOK_AGAIN_MS = 30;
/** How soon an agent publishes that a process of its host is gone. */
const AGENT_SAYS_WITHIN_MS = 250;
/** An agent renews three times within its lease's time to live: one that has not in this share of it is late. */
const LATE_SHARE = 0.5;

export function leaderLooks({
  credentials,
  leases,
  connections,
}: {
  readonly credentials: Pick<Credentials, 'administrator'>;
  readonly leases: LeaseStore;
  /** To followers: one of them is soon told to lead. */
  readonly connections: WarmConnections;
}): LeaderLooks {
  async function readLeases(hosts: Iterable<string>): Promise<ReadonlyMap<string, StoredLease | null>> {
    const read = async (host: string): Promise<[string, StoredLease | null]> => [host, await leaseOf(host)];
    return new Map(await Promise.all([...new Set(hosts)].map(read)));
  }

  async function leaseOf(host: string): Promise<StoredLease | null> {
    try {
      return await leases.read(host);
    } catch (error) {
      // One that somebody edited into nonsense: nobody can say what its agent does.
      if (error instanceof FleetError && error.kind === 'InvalidRecord') return null;
      throw error;
    }
  }

  async function lookAt(
    record: DatabaseRecord,
  ): Promise<{ leader: QuickLook; followers: Candidate[]; link: Link }> {
    const endpoints = followersOf(record);
    const [leader, ...looks] = await Promise.all([
      quickLookAtLost(record.leader, credentials, LEADER_TIMEOUT_MS),
      ...endpoints.map(lookAtFollower),
    ]);
    const followers = endpoints.flatMap((endpoint, at): Candidate[] => {
      const look = looks[at];
      return look === undefined ? [] : [{ endpoint, seen: candidateSeen(look) }];
    });
    return { leader, followers, link: linkOf(looks[0], record) };
  }

  async function lookAtFollower(endpoint: Endpoint): Promise<QuickLook> {
    const { look, keep } = await connections.look(endpoint);
    keep();
    return look;
  }

  return {
    async look(records, { downAfterMs, silentBefore, mindOwners, patienceMs }) {
      const began = performance.now();
      const found = new Map<string, Seen>();
      const ages = new Map<string, LeaseAge>();
      let open = records;
      for (;;) {
        const hosts = open.flatMap(({ leader, follower }) => [
          leader.host,
          ...(follower ? [follower.host] : []),
        ]);
        const [held, seen] = await Promise.all([
          readLeases(hosts),
          Promise.all(open.map(async (record) => ({ record, ...(await lookAt(record)) }))),
        ]);
        const now = performance.now();
        for (const [host, stored] of held) ages.set(host, older(ages.get(host), stored, now));
        for (const { record, leader, followers, link } of seen) {
          const { database } = record;
          const age = ages.get(record.leader.host);
          const pulse = pulseOf(age?.stored?.lease, database, 'leader');
          const beside = record.follower === null ? undefined : ages.get(record.follower.host);
          const silentFor = now - began + (silentBefore(database) ? downAfterMs : 0);
          const sightings: LeaderSightings = {
            database,
            control: sightingOf(leader, pulse, silentFor),
            lease: leaseSighting(age, database, now),
            fromFollowerHost: believed(beside?.stored?.lease.leaders[database] ?? null, beside),
            followerLink: link,
            downAfterMs,
            ...(mindOwners ? atWork(record) : {}),
          };
          const verdict = judged(sightings);
          found.set(database, {
            verdict,
            refused: sightings.control.seen === 'refused',
            fencing: verdict.state === 'failed' && verdict.fence === 'none' ? fencedBy(sightings) : null,
            pulse,
            followers,
            leader: leader.answers ? candidateSeen(leader) : null,
          });
        }
        const lasted = performance.now() - began;
        open = open.filter(({ database }) => isOpen(found.get(database), lasted, patienceMs));
        if (open.length === 0) return found;
        await sleep(LOOK_AGAIN_MS);
      }
    },
  };
}

function atWork({ operation }: DatabaseRecord): { readonly atWork?: string } {
  return operation === undefined || operation.urgency === 'urgent' ? {} : { atWork: operation.workflowId };
}

/**
 * A process that answers, and follows nobody, takes no writes: nobody else has to say so where nobody else is left. Unless
 * a planned runbook demoted it a moment ago.
 */
function judged(sightings: LeaderSightings): LeaderVerdict {
  const verdict = judgeLeader(sightings);
  const { control, followerLink, atWork } = sightings;
  const alone = control.seen === 'not leading' && followerLink === null && atWork === undefined;
  if (verdict.state !== 'doubted' || !alone) return verdict;
  return {
    state: 'failed',
    why: 'Its process answers, but does not lead, and its follower does not answer.',
    fence: 'none',
  };
}

/** Of a leader for which nothing has to be done: what keeps it from writes? */
function fencedBy({ control, lease }: LeaderSightings): Fencing {
  if (control.seen === 'not leading') return 'demoted';
  return lease.state === 'ran out' ? 'lease' : 'gone';
}

function isOpen(seen: Seen | undefined, lastedMs: number, patienceMs: number): boolean {
  if (seen === undefined || seen.verdict.state === 'well') return false;
  if (seen.verdict.state === 'doubted') return lastedMs < patienceMs;
  // Gone, most likely: its agent is about to say so, which is sooner than it could be asked to fence it.
  return seen.refused && seen.verdict.fence === 'agent' && lastedMs < AGENT_SAYS_WITHIN_MS;
}

/** How long a lease was watched, and whether it changed meanwhile. Times are of the monotonic clock. */
interface LeaseAge {
  readonly stored: StoredLease | null;
  /** Since when it is known to stand as it is: after it was read first. */
  readonly since: number;
  /** It was renewed while it was watched: its agent lives. */
  readonly renewed: boolean;
}

function older(before: LeaseAge | undefined, stored: StoredLease | null, now: number): LeaseAge {
  if (before === undefined) return { stored, since: now, renewed: false };
  if (before.stored?.modifyIndex === stored?.modifyIndex) return { ...before, stored };
  return { stored, since: now, renewed: true };
}

/**
 * One look cannot tell a lease that is renewed from one that nobody renews. What its agent says against the process
 * is believed at once; that all is well only once it was seen to renew.
 */
function leaseSighting(age: LeaseAge | undefined, database: string, now: number): LeaseSighting {
  const lease = age?.stored?.lease;
  if (age === undefined || lease === undefined || lease.left === true) return { state: 'nobody' };
  if (lease.broken !== undefined) return { state: 'ran out' };
  const unchangedFor = now - age.since;
  if (unchangedFor > lease.ttl * LATE_SHARE) {
    return { state: 'running out', leftMs: Math.max(0, lease.ttl + LEASE_MARGIN - unchangedFor) };
  }
  return { state: 'held', pulse: believed(pulseOf(lease, database, null)?.pulse ?? null, age) };
}

function believed(pulse: Pulse | null, age: LeaseAge | undefined): Pulse | null {
  return pulse === 'up' && age?.renewed !== true ? null : pulse;
}

/** @param role null: whatever it is; a process that was started anew follows nobody, and is no leader any more */
function pulseOf(lease: HostLease | undefined, database: string, role: 'leader' | null): ProcessPulse | null {
  const pulse = lease?.processes[database];
  return pulse === undefined || (role !== null && pulse.role !== role) ? null : pulse;
}

function sightingOf(look: QuickLook, pulse: ProcessPulse | null, forMs: number): Sighting {
  if (look.answers) {
    const { role, loading, runId } = look.facts;
    if (role === 'follower') return { seen: 'not leading', loading };
    if (loading) return { seen: 'loading' };
    const another = pulse?.runId != null && pulse.runId !== runId;
    return another ? { seen: 'reborn' } : { seen: 'leading' };
  }
  switch (look.how) {
    case 'refused':
      return { seen: 'refused' };
    case 'stranger':
      return { seen: 'reborn' };
    case 'busy':
      return { seen: 'leading' };
    case 'silent':
      return { seen: 'silent', forMs };
  }
}

type Link = { readonly up: boolean; readonly silentForMs: number } | null;

/** Of the record's follower. One that leads itself, as an earlier attempt made it, has no link any more. */
function linkOf(look: QuickLook | undefined, { leader }: DatabaseRecord): Link {
  if (look?.answers !== true) return null;
  const up = look.facts.link?.up === true && isPointedAt(look.facts, leader);
  return { up, silentForMs: look.silentForMs ?? 0 };
}
