/** Which backups of a database are kept: of the newest hours, days and weeks that have one, the newest each. */

export interface RetentionRule {
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
}

export interface RetentionCandidate {
  readonly id: string;
  /** ISO 8601. */
  readonly takenAt: string;
  readonly verified: boolean;
}

export type KeepReason =
  /** The last verified one, whatever the rule says. */
  | 'newest verified'
  /** The verified one before: the last may be damaged in the store after it was verified. */
  | 'spare'
  | 'hourly'
  | 'daily'
  | 'weekly'
  /** Not verified, and none that is younger is: it may be checked in a moment, or be all there is. */
  | 'nothing better yet';

export interface Retention {
  /** Newest first, each with at least one reason. */
  readonly kept: readonly { readonly id: string; readonly why: readonly KeepReason[] }[];
  /** Oldest first. */
  readonly expired: readonly string[];
}

/**
 * For the backups of one database. Hours, days and weeks (from Monday) are UTC's; those without a verified backup do not
 * count, so that nothing expires while backups fail. Only verified ones are kept by the rule.
 */
export function retain(candidates: readonly RetentionCandidate[], rule: RetentionRule): Retention {
  const newestFirst = candidates.toSorted((a, b) => {
    const later = Date.parse(b.takenAt) - Date.parse(a.takenAt);
    return later === 0 ? (a.id < b.id ? 1 : -1) : later;
  });
  const reasons = new Map<string, KeepReason[]>(newestFirst.map(({ id }) => [id, []]));
  const give = (id: string, why: KeepReason): void => void reasons.get(id)?.push(why);

  const verified = newestFirst.filter((candidate) => candidate.verified);
  const [newest, spare] = verified;
  if (newest !== undefined) give(newest.id, 'newest verified');
  if (spare !== undefined) give(spare.id, 'spare');
  for (const [why, count, bucketOf] of [
    ['hourly', rule.hourly, hourOf],
    ['daily', rule.daily, dayOf],
    ['weekly', rule.weekly, weekOf],
  ] as const) {
    for (const id of newestOfEach(verified, bucketOf).slice(0, count)) give(id, why);
  }
  const decided = newest === undefined ? newestFirst.length : newestFirst.indexOf(newest);
  for (const { id } of newestFirst.slice(0, decided)) give(id, 'nothing better yet');

  const all = newestFirst.map(({ id }) => ({ id, why: reasons.get(id) ?? [] }));
  return {
    kept: all.filter(({ why }) => why.length > 0),
    expired: all
      .filter(({ why }) => why.length === 0)
      .map(({ id }) => id)
      .toReversed(),
  };
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The first day of 1970 was a Thursday. */
const DAYS_FROM_MONDAY = 3;

function newestOfEach(
  newestFirst: readonly RetentionCandidate[],
  bucketOf: (time: number) => number,
): readonly string[] {
  const first = new Map<number, string>();
  for (const { id, takenAt } of newestFirst) {
    const bucket = bucketOf(Date.parse(takenAt));
    if (!first.has(bucket)) first.set(bucket, id);
  }
  return [...first.values()];
}

function hourOf(time: number): number {
  return Math.floor(time / HOUR_MS);
}

function dayOf(time: number): number {
  return Math.floor(time / DAY_MS);
}

function weekOf(time: number): number {
  return Math.floor((dayOf(time) + DAYS_FROM_MONDAY) / 7);
}
