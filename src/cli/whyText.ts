/** What `redis-fleet why` says, as text. Pure. */

import type { FenceNeeded, LeaderSightings, LeaseSighting, Sighting } from '../fleet/failure.js';
import { maintenanceText } from '../fleet/maintenance.js';
import type { Maintenance } from '../fleet/maintenance.js';
import { showDuration } from '../fleet/quantities.js';
import type { DatabaseRecord } from '../fleet/record.js';
import { showEndpoint } from '../fleet/record.js';
import type { WatchedDatabase } from '../fleet/watchView.js';

export interface WhyAnswer {
  readonly database: string;
  /** The leader is well, and somebody watches it. */
  readonly well: boolean;
  /** null: Consul is away. */
  readonly record: DatabaseRecord | null;
  /** The server whose watch is responsible. */
  readonly server: string;
  readonly maintenance: Maintenance | null;
  readonly watch: {
    /** ISO 8601. */
    readonly at: string;
    /** Milliseconds. */
    readonly age: number;
    readonly worker: string;
    readonly problems: readonly string[];
    /** null: it does not watch this database (yet). */
    readonly sees: WatchedDatabase | null;
  } | null;
  /** Sentences: what keeps the answer from being whole, and what to do about it. */
  readonly problems: readonly string[];
}

export function whyText(answer: WhyAnswer): string {
  const { record, watch, server, maintenance, problems } = answer;
  const sees = watch?.sees ?? null;
  const lines = [headline(answer)];
  for (const problem of problems) lines.push('', problem);
  if (sees !== null) {
    lines.push('', sees.verdict.why, `What is done: ${doing(sees)}`);
    lines.push('', `What is seen of the leader on ${showEndpoint(sees.leader)}:`);
    lines.push(...observers(sees.sightings).map(([who, what]) => `  ${who.padEnd(34)} ${what}`));
    if (sees.fenced !== null) lines.push('', `Its agent lets it take no writes: ${sees.fenced}`);
  }
  const facts: [string, string][] = [
    ['policy', sees?.policy ?? 'not known'],
    ['maintenance', maintenance === null ? 'none' : `the ${maintenanceText(maintenance)}`],
    ['owner', record?.operation === undefined ? 'nobody' : ownerText(record.operation)],
    ['follower', record?.follower ? showEndpoint(record.follower) : 'none'],
    ['last promotion', record?.promotion === undefined ? 'never' : promotionText(record.promotion)],
    [
      'watch',
      watch === null
        ? `nobody watches server ${server}`
        : `watchServer/${server} on ${watch.worker}; this view is ${showDuration(watch.age)} old`,
    ],
  ];
  lines.push('', ...facts.map(([name, text]) => `${name.padEnd(15)} ${text}`));
  for (const problem of watch?.problems ?? []) lines.push('', `The watch says: ${problem}`);
  if (sees !== null && sees.verdict.state !== 'well') {
    lines.push(
      '',
      `More: redis-fleet status; the watch itself: temporal workflow show -w watchServer/${server}`,
    );
  }
  return lines.join('\n');
}

function headline({ database, well, watch }: WhyAnswer): string {
  const sees = watch?.sees;
  if (sees === null || sees === undefined) return `${database}: it is not known how its leader is.`;
  const since = `since ${sees.since.slice(11, 19)} UTC`;
  if (well) return `${database}: its leader is well, ${since}.`;
  if (sees.verdict.state === 'well') return `${database}: its leader was well when it was last looked at.`;
  const state = sees.verdict.state === 'failed' ? 'has failed' : 'is in doubt';
  return `${database}: its leader ${state}, ${since}.`;
}

function doing({ decision, verdict, attempt }: WatchedDatabase): string {
  switch (decision.act) {
    case 'nothing':
      return `nothing. ${decision.why}`;
    case 'break lease':
      return `the lease of ${decision.host} has run out and is taken; then its follower is promoted.`;
    case 'promote': {
      const fence = verdict.state === 'failed' ? ` ${FENCES[verdict.fence]}` : '';
      const who = attempt === null ? 'promoteFollower is called for' : `${attempt.workflowId} is called for`;
      return decision.ask ? `${who}, and waits for an engineer.${fence}` : `${who}.${fence}`;
    }
  }
}

const FENCES: Readonly<Record<FenceNeeded, string>> = {
  none: 'Nobody has to be fenced before.',
  agent: 'The agent of its host fences it before.',
  network: 'It is fenced over the network before.',
  lease: 'The lease of its host has to run out before.',
  impossible: 'Nobody can fence it, so an engineer has to approve.',
};

function observers(sightings: LeaderSightings): [string, string][] {
  const { control, lease, fromFollowerHost, followerLink } = sightings;
  const link =
    followerLink === null
      ? 'nothing: it does not answer, follows somebody else, or there is none'
      : followerLink.up
        ? `up; last heard of ${showDuration(round(followerLink.silentForMs))} ago`
        : 'down';
  return [
    ['control plane', controlText(control)],
    ['agent of its host', leaseText(lease)],
    ["agent of the follower's host", fromFollowerHost ?? 'says nothing'],
    ["follower's own replication link", link],
  ];
}

function controlText(control: Sighting): string {
  switch (control.seen) {
    case 'leading':
      return 'it answers as the leader';
    case 'not leading':
      return control.loading ? 'it answers, does not lead, and loads' : 'it answers, and does not lead';
    case 'reborn':
      return 'another process than the one that led answers';
    case 'loading':
      return 'it loads its data';
    case 'refused':
      return 'its host refuses the connection';
    case 'silent':
      return `no answer for ${showDuration(round(control.forMs))}`;
  }
}

function leaseText(lease: LeaseSighting): string {
  switch (lease.state) {
    case 'held':
      return `${lease.pulse ?? 'says nothing of it'}; it renews its lease`;
    case 'running out':
      return `it does not renew its lease, which runs out in ${String(Math.ceil(lease.leftMs))} ms`;
    case 'ran out':
      return 'its lease was waited out';
    case 'nobody':
      return 'it holds no lease: it is gone, or was never there';
  }
}

function ownerText({ workflowId, type, since }: NonNullable<DatabaseRecord['operation']>): string {
  return `${workflowId} (${type}), since ${clock(since)}; see: redis-fleet runbook show ${workflowId}`;
}

function promotionText({ at, by, from }: NonNullable<DatabaseRecord['promotion']>): string {
  return `${clock(at)} by ${by}, away from ${showEndpoint(from)}`;
}

function clock(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
}

function round(ms: number): number {
  return Math.round(ms / 100) * 100;
}
