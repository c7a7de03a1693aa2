/** What a watch does about a leader, or in one sentence why it does nothing. Pure. */

import type { LeaderSightings, LeaderVerdict } from './failure.js';
import type { PromotionPolicy } from './fleet.js';
import { endMaintenance, maintenanceText } from './maintenance.js';
import type { Maintenance } from './maintenance.js';
import type { DatabaseRecord } from './record.js';
import { showEndpoint } from './record.js';

/** A promotion that this watch has called for. */
export type PromotionAttempt =
  /** Temporal has not taken it yet. */
  | { readonly state: 'starting'; readonly workflowId: string; readonly problem: string | null }
  | { readonly state: 'running'; readonly workflowId: string }
  /** It ended, and the leader is as it was. */
  | {
      readonly state: 'refused';
      readonly workflowId: string;
      readonly why: string;
      /** What was the case then. */
      readonly fingerprint: string;
      /** Until it may be called for again while nothing changes. Milliseconds; null: not at all, a person said no. */
      readonly againInMs: number | null;
    };

export interface WatchedCase {
  readonly record: DatabaseRecord;
  readonly verdict: LeaderVerdict;
  readonly sightings: LeaderSightings;
  readonly policy: PromotionPolicy;
  readonly maintenance: Maintenance | null;
  /** A sentence while Consul gives no answers: nothing may be changed then. */
  readonly consulProblem: string | null;
  /** Of the runbook that the record names as the owner; null: nobody owns it, or Temporal does not say. */
  readonly ownerLives: boolean | null;
  readonly attempt: PromotionAttempt | null;
}

export type WatchDecision =
  | { readonly act: 'nothing'; readonly why: string }
  /** The lease was waited out: take it, so that the promotion needs not wait again. */
  | { readonly act: 'break lease'; readonly host: string; readonly why: string }
  | { readonly act: 'promote'; readonly ask: boolean; readonly why: string };

export function decide(watched: WatchedCase): WatchDecision {
  const { record, verdict, policy, maintenance, consulProblem, sightings } = watched;
  const nothing = (why: string): WatchDecision => ({ act: 'nothing', why });
  const { database, leader } = record;
  const show = `redis-fleet runbook show`;
  const byHand = `Promote it by hand with: redis-fleet promote ${database}`;
  if (verdict.state === 'well') return nothing('Its leader is well.');
  if (verdict.state === 'doubted') return nothing('Its leader is not known to have failed.');
  if (consulProblem !== null) {
    return nothing(`${consulProblem} While it is away nobody is promoted, and nobody is demoted.`);
  }
  if (record.follower === null) {
    return nothing(
      `The record names no follower that could lead. Its data may still be on ${leader.host}: keep that host's disk, ` +
        'and restore the database.',
    );
  }
  if (maintenance !== null) {
    return nothing(
      `The ${maintenanceText(maintenance)}. ${byHand}, or end the maintenance: ${endMaintenance(maintenance)}`,
    );
  }
  if (policy === 'off') return nothing(`The policy for ${database} is off. ${byHand}`);
  const { operation } = record;
  if (operation?.type === 'promoteFollower' && watched.ownerLives !== false) {
    return nothing(`${operation.workflowId} is at work; see: ${show} ${operation.workflowId}`);
  }
  const earlier = earlierAttempt(watched);
  if (earlier !== null) return nothing(earlier);
  if (verdict.fence === 'lease' && policy === 'automatic') {
    const { lease } = sightings;
    const leftMs = lease.state === 'running out' ? lease.leftMs : 0;
    if (leftMs > 0) {
      return nothing(
        `The lease of ${leader.host} runs out in ${String(Math.ceil(leftMs))} ms; then it is promoted.`,
      );
    }
    return { act: 'break lease', host: leader.host, why: verdict.why };
  }
  return { act: 'promote', ask: policy === 'ask', why: verdict.why };
}

function earlierAttempt({ attempt, record, verdict, sightings }: WatchedCase): string | null {
  if (attempt === null) return null;
  const { workflowId } = attempt;
  const see = `see: redis-fleet runbook show ${workflowId}`;
  switch (attempt.state) {
    case 'starting':
      return attempt.problem === null
        ? `${workflowId} is being started.`
        : `${workflowId} is started as soon as Temporal takes it: ${attempt.problem}`;
    case 'running':
      return `${workflowId} is at work; ${see}`;
    case 'refused': {
      const same = attempt.fingerprint === fingerprint(record, verdict, sightings);
      if (!same || (attempt.againInMs !== null && attempt.againInMs <= 0)) return null;
      const again =
        attempt.againInMs === null
          ? `is not tried again while nothing changes. By hand: redis-fleet promote ${record.database}`
          : `is tried again in ${String(Math.ceil(attempt.againInMs / 1_000))} s, or as soon as something changes`;
      return `${workflowId} did not promote it: ${attempt.why} It ${again}; ${see}`;
    }
  }
}

/** What a promotion's answer depends on, as far as a watch can see it; not what flickers while a host dies. */
export function fingerprint(
  { epoch, leader, follower }: DatabaseRecord,
  verdict: LeaderVerdict,
  { followerLink }: LeaderSightings,
): string {
  return JSON.stringify([
    epoch,
    showEndpoint(leader),
    follower === null ? null : showEndpoint(follower),
    verdict.state === 'failed' && verdict.fence === 'impossible',
    followerLink === null,
  ]);
}
