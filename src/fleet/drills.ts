/**
 * The drill: a backup is restored for real, and looked at. Which database is next, what a drill found, and what is to
 * be said about it. Pure.
 */

import { spendable } from './headroom.js';
import type { HostReport } from './facts.js';
import type { Fleet } from './fleet.js';
import { hostsOf } from './placement.js';
import { showDuration } from './quantities.js';
import type { DatabaseRecord } from './record.js';
import { isFresh } from './reportAge.js';
import type { DrillBackupsRequest } from './requests.js';

/** `drills/<database>` in Consul: the last drill that said anything about a backup. Times are ISO 8601, sizes bytes. */
export interface DrillRecord {
  readonly database: string;
  readonly at: string;
  /** Where it was tried out. */
  readonly host: string;
  readonly passed: boolean;
  /** What it found wrong; null: nothing. */
  readonly why: string | null;
  /** Id of the backup. */
  readonly backup: string;
  readonly takenAt: string;
  readonly bytes: number;
  /** As they were loaded; null: it did not come so far. */
  readonly keys: number | null;
  /** How many keys were read in full. */
  readonly sampled: number;
  /** From the store to a process that has loaded it all: how long a restore takes. */
  readonly seconds: number;
  /** Of a drill that passed: this one, or one before; null: none did yet. */
  readonly lastPassed: string | null;
}

export interface PlannedDrill {
  readonly database: string;
  readonly host: string;
  /** Memory that it needs there. Bytes. */
  readonly needs: number;
}

export interface DrillPlan {
  /** In the order in which they are due: the one whose last drill is oldest first. */
  readonly drills: readonly PlannedDrill[];
  /** Sentences about those that are due and cannot be drilled now. */
  readonly left: readonly string[];
}

/** A database is due after this share of `drillWithin`, and drills are planned four times within it. */
const DUE_AFTER = 0.5;
export const DRILLS_PER_PERIOD = 4;

export function planDrills(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  drills: readonly DrillRecord[],
  reports: readonly HostReport[],
  { host, database: only }: DrillBackupsRequest,
  now: number,
): DrillPlan {
  const last = new Map(drills.map((drill) => [drill.database, Date.parse(drill.at)]));
  const due = records
    .filter(({ epoch }) => epoch > 0)
    .filter(({ database }) => only === undefined || database === only)
    .filter(
      ({ database }) =>
        only !== undefined ||
        now - (last.get(database) ?? Number.NEGATIVE_INFINITY) >= DUE_AFTER * fleet.backups.drillWithin,
    )
    .toSorted(
      (a, b) =>
        (last.get(a.database) ?? 0) - (last.get(b.database) ?? 0) || (a.database < b.database ? -1 : 1),
    );
  const planned: PlannedDrill[] = [];
  const left: string[] = [];
  for (const { database } of due) {
    const needs = memoryOf(database, fleet, reports);
    const place = roomiest(fleet, reports, needs, host, now);
    if (place === null) left.push(noRoom(database, host));
    else planned.push({ database, host: place, needs });
  }
  return { drills: planned, left };
}

/** What a check of the fleet says of drills: one sentence for each database that it has to worry about. */
export function drillProblems(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  drills: readonly DrillRecord[],
  now: number,
): readonly { readonly database: string; readonly text: string }[] {
  const within = fleet.backups.drillWithin;
  return records
    .filter(({ epoch }) => epoch > 0)
    .flatMap(({ database, updatedAt }) => {
      const last = drills.find((drill) => drill.database === database);
      const again = `Try again: redis-fleet backups drill ${database}`;
      if (last?.passed === false) {
        const text = `The last drill of ${database} (${last.at}, backup ${last.backup}) failed: ${last.why ?? 'for no reason given'} ${again}`;
        return [{ database, text }];
      }
      // One that is new had no time yet.
      const age = now - Date.parse(last?.lastPassed ?? updatedAt);
      if (age <= within) return [];
      const since =
        last === undefined ? 'was never tried out by a drill' : `was last tried out ${inHours(age)} ago`;
      const text = `The backup of ${database} ${since}, and that should be done every ${showDuration(within)}. ${again}`;
      return [{ database, text }];
    });
}

/** One sentence for people. */
export function drillText(database: string, drill: DrillRecord | null): string {
  if (drill === null) return `No backup of ${database} was tried out by a drill yet.`;
  const { at, backup, host, keys, sampled, seconds, why } = drill;
  return why === null
    ? `Last drill: ${at}, of backup ${backup} on ${host}: restored in ${seconds} s, ${keys ?? 0} keys, ${sampled} of them read in full.`
    : `Last drill: ${at}, of backup ${backup} on ${host}: it FAILED: ${why}`;
}

function inHours(ms: number): string {
  return showDuration(Math.round(ms / 3_600_000) * 3_600_000);
}

/** What its leader or its follower uses; where nobody says, all that it may use. */
function memoryOf(database: string, fleet: Fleet, reports: readonly HostReport[]): number {
  const used = reports.flatMap(({ processes }) =>
    processes.filter((one) => one.database === database).map(({ facts }) => facts?.usedMemory ?? 0),
  );
  const most = Math.max(0, ...used);
  return most > 0 ? most : (fleet.databases.find(({ name }) => name === database)?.maxmemory ?? 0);
}

function roomiest(
  fleet: Fleet,
  reports: readonly HostReport[],
  needs: number,
  wanted: string | undefined,
  now: number,
): string | null {
  const known = new Set(hostsOf(fleet).map(({ name }) => name));
  const room = reports
    .filter((report) => known.has(report.host) && isFresh(report, now))
    .filter(({ host }) => wanted === undefined || host === wanted)
    .map(({ host, memory }) => ({ host, room: spendable(memory) }))
    .filter((one) => one.room >= needs)
    .toSorted((a, b) => b.room - a.room || (a.host < b.host ? -1 : 1));
  return room[0]?.host ?? null;
}

function noRoom(database: string, host: string | undefined): string {
  return host === undefined
    ? `${database} was not drilled: no host whose agent reports has room for it`
    : `${database} was not drilled: ${host} has no room for it, or its agent does not report`;
}
