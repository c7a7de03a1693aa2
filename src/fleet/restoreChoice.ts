/** Which backup a restore takes, and which it may take instead when that one turns out damaged. Pure. */

import { isVerified, readBackupId, type BackupInStore } from './backup.js';
import type { RestoreDatabaseRequest } from './requests.js';

export type RestoreChoice =
  | {
      readonly possible: true;
      /** Ids, in the order in which they are tried: whatever is damaged is passed over. Never empty. */
      readonly ids: readonly string[];
      /** Sentences about backups that would have been better and are not taken. */
      readonly passedOver: readonly string[];
    }
  | { readonly possible: false; readonly why: string };

/** More are not tried: by then it is the store that is broken. */
const MOST_TRIES = 5;

/** @param backups of one database, as the store lists them */
export function chooseRestore(
  database: string,
  backups: readonly BackupInStore[],
  from: RestoreDatabaseRequest['from'] = 'newest',
): RestoreChoice {
  const own = backups
    .filter((backup) => backup.database === database)
    .toSorted((a, b) => Date.parse(b.takenAt) - Date.parse(a.takenAt) || b.epoch - a.epoch);
  if (typeof from === 'string' && from !== 'newest') return chooseNamed(database, own, from);
  const latest = typeof from === 'string' ? Number.POSITIVE_INFINITY : Date.parse(from.asOf);
  const inTime = own.filter(({ takenAt }) => Date.parse(takenAt) <= latest);
  const verified = inTime.filter(isVerified);
  const best = verified[0];
  const newer = best === undefined ? inTime : inTime.slice(0, inTime.indexOf(best));
  const passedOver = newer.map((backup) => `Backup ${backup.id} is not taken: ${unfit(backup)}.`);
  if (best !== undefined) {
    return { possible: true, ids: verified.slice(0, MOST_TRIES).map(({ id }) => id), passedOver };
  }
  const asked = typeof from === 'string' ? '' : ` from ${from.asOf} or before`;
  return {
    possible: false,
    why: [
      `There is no verified backup of ${database}${asked}: nothing was restored or changed.`,
      ...passedOver.slice(0, MOST_TRIES),
      'See what there is: redis-fleet backups list; and check one: redis-fleet backups verify.',
    ].join(' '),
  };
}

function chooseNamed(database: string, own: readonly BackupInStore[], name: string): RestoreChoice {
  const id = idIn(name);
  const found = own.find((backup) => backup.id === id);
  if (found === undefined) {
    const known = own.slice(0, 3).map((backup) => backup.id);
    return {
      possible: false,
      why:
        `There is no backup ${name} of ${database}${known.length === 0 ? '' : ` (the newest are ${known.join(', ')})`}: ` +
        'nothing was restored or changed. See what there is: redis-fleet backups list.',
    };
  }
  if (found.manifest !== null && found.data.length > 0 && found.proof !== 'unsound')
    return { possible: true, ids: [found.id], passedOver: [] };
  return {
    possible: false,
    why: `Backup ${found.id} of ${database} is not to be restored from: ${unfit(found)}. Nothing was restored or changed. Use another one.`,
  };
}

/** An id by itself, or within a key as a store lists it. */
function idIn(name: string): string {
  const last = name.split('/').at(-1) ?? '';
  const id = /^[^.]*/.exec(last)?.[0] ?? '';
  return readBackupId(id) === null ? name : id;
}

function unfit({ manifest, data, proof }: BackupInStore): string {
  if (manifest === null) return 'it has no manifest, so it was never completed';
  if (data.length === 0) return 'it has a manifest, and its data is gone';
  return proof === 'unsound' ? 'its last check found it damaged' : 'it was never verified';
}
