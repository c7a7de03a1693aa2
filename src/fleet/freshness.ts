/** How old the last verified backup of each database is, and whether that is too old. Pure. Ages are seconds. */

import { backupDeadline } from './fleet.js';
import type { BackupSettings } from './fleet.js';
import { showDuration } from './quantities.js';

export interface Freshness {
  readonly database: string;
  /** ISO 8601: the data of the last verified backup is as of then; null: there is none. */
  readonly at: string | null;
  readonly age: number | null;
  /** Beyond the deadline, or none at all. */
  readonly overdue: boolean;
}

/** @param now milliseconds since 1970 */
export function freshnessOf(
  database: string,
  at: string | null,
  settings: BackupSettings,
  now: number,
): Freshness {
  if (at === null) return { database, at, age: null, overdue: true };
  const ms = Math.max(0, now - Date.parse(at));
  return { database, at, age: Math.round(ms / 1_000), overdue: ms > backupDeadline(settings) };
}

/** A sentence about one that is overdue, with the command to run. */
export function overdueText({ database, age }: Freshness, settings: BackupSettings): string {
  const take = `run: redis-fleet backups take ${database}`;
  if (age === null) return `Database ${database} has no verified backup; ${take}`;
  const deadline = showDuration(backupDeadline(settings));
  return (
    `The last verified backup of ${database} is ${showDuration(age * 1_000)} old, and its deadline is ${deadline}; ${take}, ` +
    `and see why: redis-fleet runbook list`
  );
}
