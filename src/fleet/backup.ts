/**
 * Names of what a backup consists of in the store, and what a listing of those names means. All under
 * `<fleet>/<database>/`:
 *
 * - `<id>.rdb`, with `.zst` and `.age` where compressed and encrypted: the data;
 * - `<id>.json`: the manifest, written last, without which the data counts for nothing;
 * - `<id>.sound.json` or `<id>.unsound.json`: what the last check of the whole found. A name, so that one listing
 *   says which backups are verified.
 */

import { NAME_PATTERN } from './nameRule.js';

/** One object in a store. */
export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
  /** ISO 8601. */
  readonly modifiedAt: string;
}

/** sound: the last check read all of it and found nothing wrong. unsound: it found something. */
export type BackupProof = 'sound' | 'unsound' | 'unchecked';

/** A backup, or what is left of one, as a listing shows it. */
export interface BackupInStore {
  readonly id: string;
  readonly fleet: string;
  readonly database: string;
  /** ISO 8601: the data is as of then. */
  readonly takenAt: string;
  readonly epoch: number;
  readonly manifest: StoredObject | null;
  /** Several where attempts to store an encrypted backup were broken off; the manifest says which counts. */
  readonly data: readonly StoredObject[];
  readonly proof: BackupProof;
  readonly proofs: readonly StoredObject[];
}

export interface BackupListing {
  /** Newest first. */
  readonly backups: readonly BackupInStore[];
  /** Keys of objects that no version of this program wrote. */
  readonly strangers: readonly string[];
}

const ID = String.raw`(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-e(\d{1,15})`;
const ID_PATTERN = new RegExp(`^${ID}$`);
const NAME = new RegExp(
  String.raw`^(${ID})\.(json|sound\.json|unsound\.json|(?:x[0-9a-f]{8}\.)?rdb(?:\.zst)?(?:\.age)?)$`,
);

/** `20261123T011500000Z-e7`. Sorts by time. @param takenAt ISO 8601: the moment of the fork */
export function backupId(takenAt: string, epoch: number): string {
  const time = new Date(takenAt).toISOString().replace(/[-:.]/g, '');
  return `${time}-e${epoch}`;
}

/** null: it is no id of a backup. */
export function readBackupId(id: string): { readonly takenAt: string; readonly epoch: number } | null {
  const match = ID_PATTERN.exec(id);
  if (match === null) return null;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = '', ms = '', epoch = ''] = match;
  const takenAt = `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`;
  const time = Date.parse(takenAt);
  // A 31st of February would otherwise become a day in March.
  return Number.isNaN(time) || new Date(time).toISOString() !== takenAt
    ? null
    : { takenAt, epoch: Number(epoch) };
}

/** All that a database has in the store begins with this. */
export function backupPrefix(fleet: string, database: string): string {
  return `${fleet}/${database}/`;
}

export function manifestKey(fleet: string, database: string, id: string): string {
  return `${backupPrefix(fleet, database)}${id}.json`;
}

export function proofKey(fleet: string, database: string, id: string, proof: 'sound' | 'unsound'): string {
  return `${backupPrefix(fleet, database)}${id}.${proof}.json`;
}

/**
 * @param attempt 8 hexadecimal digits, for data that differs from attempt to attempt (an encrypted file does): two
 *   attempts at once then never share a name, and the manifest of one never describes the data of the other
 */
export function dataKey(
  fleet: string,
  database: string,
  id: string,
  form: { readonly compressed: boolean; readonly encrypted: boolean; readonly attempt: string | null },
): string {
  const endings = `${form.compressed ? '.zst' : ''}${form.encrypted ? '.age' : ''}`;
  return `${backupPrefix(fleet, database)}${id}${form.attempt === null ? '' : `.x${form.attempt}`}.rdb${endings}`;
}

/** What the objects under a fleet's, or a database's, prefix amount to. */
export function listBackups(objects: Iterable<StoredObject>): BackupListing {
  const found = new Map<string, Collected>();
  const strangers: string[] = [];
  for (const object of objects) {
    const name = readKey(object.key);
    if (name === null) {
      strangers.push(object.key);
      continue;
    }
    const key = `${name.fleet}/${name.database}/${name.id}`;
    const backup = found.get(key) ?? { name, manifest: null, data: [], sound: null, unsound: null };
    found.set(key, backup);
    if (name.part === 'data') backup.data.push(object);
    else backup[name.part] = object;
  }
  return {
    backups: [...found.values()].map(backupOf).toSorted(newestFirst),
    strangers,
  };
}

/** Whether its data and its manifest are there and its last check found nothing wrong. */
export function isVerified(backup: BackupInStore): boolean {
  return backup.manifest !== null && backup.data.length > 0 && backup.proof === 'sound';
}

/** The newest verified backup of a database; with `asOf` (ISO 8601) the newest whose data is not younger. */
export function newestVerified(
  backups: readonly BackupInStore[],
  database: string,
  asOf?: string,
): BackupInStore | null {
  const latest = asOf === undefined ? Number.POSITIVE_INFINITY : Date.parse(asOf);
  return (
    backups
      .filter((backup) => backup.database === database && isVerified(backup))
      .filter(({ takenAt }) => Date.parse(takenAt) <= latest)
      .toSorted(newestFirst)[0] ?? null
  );
}

/** In the order in which they have to go: nothing is half there at any moment. */
export function objectsOf(backup: BackupInStore): readonly string[] {
  const { proofs, manifest, data } = backup;
  return [...proofs, ...(manifest === null ? [] : [manifest]), ...data].map(({ key }) => key);
}

/**
 * Data, and proofs, that no manifest stands beside and that nobody is at work on: left by attempts that were broken off.
 * @param before ISO 8601: younger ones may still get their manifest
 */
export function abandoned(backups: readonly BackupInStore[], before: string): readonly StoredObject[] {
  return backups
    .filter(({ manifest }) => manifest === null)
    .flatMap(({ proofs, data }) => [...proofs, ...data])
    .filter(({ modifiedAt }) => Date.parse(modifiedAt) < Date.parse(before));
}

type Part = 'data' | 'manifest' | 'sound' | 'unsound';

interface KeyName {
  readonly fleet: string;
  readonly database: string;
  readonly id: string;
  readonly takenAt: string;
  readonly epoch: number;
  readonly part: Part;
}

interface Collected {
  readonly name: KeyName;
  manifest: StoredObject | null;
  readonly data: StoredObject[];
  sound: StoredObject | null;
  unsound: StoredObject | null;
}

function readKey(key: string): KeyName | null {
  const [fleet = '', database = '', name = '', ...more] = key.split('/');
  const match = NAME.exec(name);
  if (match === null || more.length > 0 || !NAME_PATTERN.test(fleet) || !NAME_PATTERN.test(database))
    return null;
  const id = match[1] ?? '';
  const read = readBackupId(id);
  const ending = match.at(-1) ?? '';
  const part =
    ending === 'json'
      ? 'manifest'
      : ending === 'sound.json'
        ? 'sound'
        : ending === 'unsound.json'
          ? 'unsound'
          : 'data';
  return read === null ? null : { fleet, database, id, ...read, part };
}

function backupOf({ name, manifest, data, sound, unsound }: Collected): BackupInStore {
  const { id, fleet, database, takenAt, epoch } = name;
  // Both are there for a moment while a check's result changes: then it is not called sound.
  const proof = unsound !== null ? 'unsound' : sound !== null ? 'sound' : 'unchecked';
  const proofs = [sound, unsound].filter((object) => object !== null);
  return { id, fleet, database, takenAt, epoch, manifest, data, proof, proofs };
}

function newestFirst(a: BackupInStore, b: BackupInStore): number {
  // Two of one moment: the later epoch. Ids of one database sort by time, for the rest any fixed order will do.
  return (
    Date.parse(b.takenAt) - Date.parse(a.takenAt) ||
    b.epoch - a.epoch ||
    (a.database < b.database ? -1 : a.database > b.database ? 1 : 0)
  );
}
