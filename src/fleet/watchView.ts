/** What a watch sees, as it publishes it: for `redis-fleet why`, the `watch` query and the current details. Pure. */

import type { LeaderSightings, LeaderVerdict } from './failure.js';
import type { PromotionPolicy } from './fleet.js';
import type { Maintenance } from './maintenance.js';
import type { DatabaseRecord, Endpoint } from './record.js';
import type { PromotionAttempt, WatchDecision } from './watching.js';

export interface WatchedDatabase {
  readonly database: string;
  readonly epoch: number;
  readonly leader: Endpoint;
  readonly follower: Endpoint | null;
  /** Of the leader's process, as the watch knows it; null: it has not answered yet. */
  readonly runId: string | null;
  readonly verdict: LeaderVerdict;
  /** Since when the verdict is in this state. ISO 8601, UTC. */
  readonly since: string;
  readonly sightings: LeaderSightings;
  readonly decision: WatchDecision;
  /** Why its agent lets it take no writes. */
  readonly fenced: string | null;
  readonly policy: PromotionPolicy;
  readonly maintenance: Maintenance | null;
  /** Workflow id of the runbook that owns the record. */
  readonly owner: string | null;
  readonly attempt: PromotionAttempt | null;
  readonly promotion: DatabaseRecord['promotion'] | null;
}

export interface WatchView {
  readonly server: string;
  readonly workflowId: string;
  /** Which worker watches. */
  readonly worker: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Milliseconds. */
  readonly downAfter: number;
  /** Sentences: what the watch cannot see or do now. */
  readonly problems: readonly string[];
  readonly databases: readonly WatchedDatabase[];
}

/** By which a watch tells its own workflow what a person cares for. Argument: a `WatchView`. */
export const WATCH_SIGNAL = 'seen';

/** A watch publishes at least this often. Milliseconds. */
export const WATCH_PUBLISHED_EVERY_MS = 5_000;
/** Older than this: nobody watches. Milliseconds. */
export const WATCH_STALE_MS = 20_000;

/** What watches are known, for status and check. */
export type KnownWatches = readonly Pick<WatchView, 'server' | 'at'>[];

/**
 * A sentence for a server whose leaders nobody watches; null: it is watched.
 * @param now milliseconds since 1970
 */
export function unwatched(server: string, watches: KnownWatches, now: number): string | null {
  const watch = watches.find((one) => one.server === server);
  const start = 'start the watch: redis-fleet apply';
  if (watch === undefined) {
    return `Nobody watches the leaders of server ${server}, so none is promoted automatically; ${start}`;
  }
  const ageMs = now - Date.parse(watch.at);
  if (ageMs <= WATCH_STALE_MS) return null;
  return (
    `The watch of server ${server} has said nothing for ${String(Math.round(ageMs / 1_000))} s, so no leader is promoted ` +
    `automatically; see that a control worker runs (redis-fleet worker), and ${start}`
  );
}

/** Short Markdown for the Temporal UI. */
export function watchDetails(view: WatchView): string {
  const cell = (text: string): string =>
    text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, LONGEST_CELL);
  const unwell = view.databases.filter(({ verdict }) => verdict.state !== 'well');
  const rows = view.databases.map(({ database, leader, verdict, since, decision }) => {
    const remark = verdict.state === 'well' ? '' : `${verdict.why} ${decision.why}`;
    return `| ${[database, leader.host, verdict.state, since.slice(11, 19), remark].map(cell).join(' | ')} |`;
  });
  return [
    `### Watch of server ${view.server}`,
    '',
    unwell.length === 0
      ? `**All ${String(view.databases.length)} leaders are well** (${view.at.slice(0, 19).replace('T', ' ')} UTC)`
      : `**${String(unwell.length)} of ${String(view.databases.length)} leaders are not well** (${view.at.slice(0, 19).replace('T', ' ')} UTC)`,
    ...view.problems.flatMap((problem) => ['', problem]),
    '',
    '| database | leader on | state | since (UTC) | why, and what is done |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    'More of each, and how old the view is:',
    '```sh',
    `redis-fleet why ${unwell[0]?.database ?? view.databases[0]?.database ?? 'DATABASE'}`,
    '```',
    '',
  ].join('\n');
}

const LONGEST_CELL = 300;
