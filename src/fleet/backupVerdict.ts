/** What a check of a whole backup, from the store's bytes to the last key, may find. */

import { showSize } from './quantities.js';

/** Names a backup. */
export interface BackupRef {
  readonly fleet: string;
  readonly database: string;
  readonly id: string;
}

export interface SoundBackup {
  readonly kind: 'sound';
  /** As `redis-check-rdb` counted them; expired ones are among them. */
  readonly keys: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly storedSha256: string;
}

/** Why a backup is not to be restored from. `why` is for people. */
export type BackupDamage =
  /** No manifest: it was never finished, or somebody removed it. */
  | { readonly kind: 'no manifest'; readonly data: readonly string[] }
  | { readonly kind: 'bad manifest'; readonly why: string }
  /** The manifest of another backup under this one's name. */
  | { readonly kind: 'foreign manifest'; readonly why: string }
  | { readonly kind: 'no data'; readonly key: string }
  | {
      readonly kind: 'truncated';
      readonly key: string;
      readonly bytes: number;
      readonly expectedBytes: number;
    }
  /** Another file under the data's name. */
  | { readonly kind: 'foreign data'; readonly key: string; readonly why: string }
  /** Of the right kind and size, with another checksum. */
  | {
      readonly kind: 'altered';
      readonly key: string;
      readonly sha256: string;
      readonly expectedSha256: string;
    }
  /** The data is as it was stored, and none of the keys at hand opens it. */
  | { readonly kind: 'wrong key'; readonly needed: readonly string[]; readonly held: readonly string[] }
  /** The data is as it was stored, and that was not right: it does not give the file that Redis wrote. */
  | { readonly kind: 'unreadable'; readonly key: string; readonly why: string }
  /** The file is as Redis wrote it, and Redis's own check refuses it. */
  | { readonly kind: 'not loadable'; readonly why: string };

export type BackupVerdict = SoundBackup | BackupDamage;

/** Whether the backup itself is bad, and not only out of reach of the keys at hand. */
export function isProvenBad(verdict: BackupVerdict): boolean {
  return verdict.kind !== 'sound' && verdict.kind !== 'wrong key';
}

/** One sentence that says what was found, and what to do where there is something. */
export function verdictText({ database, id }: BackupRef, verdict: BackupVerdict): string {
  const backup = `Backup ${id} of ${database}`;
  const bad = 'Nothing is restored from it; use another backup.';
  switch (verdict.kind) {
    case 'sound':
      return `${backup} is sound: ${verdict.keys} keys, ${showSize(verdict.plainBytes)}, read to the end.`;
    case 'no manifest':
      return verdict.data.length > 0
        ? `${backup} has data and no manifest: it was never completed. ${bad}`
        : `There is no backup ${id} of ${database}. List what there is: redis-fleet backups list.`;
    case 'bad manifest':
      return verdict.why;
    case 'foreign manifest':
      return `${backup} has the manifest of another backup (${verdict.why}). ${bad}`;
    case 'no data':
      return `${backup} has a manifest, and its data ${verdict.key} is gone. ${bad}`;
    case 'truncated':
      return `${backup} is cut short: ${verdict.key} has ${verdict.bytes} of ${verdict.expectedBytes} bytes. ${bad}`;
    case 'foreign data':
      return `${backup} has another file in place of its data: ${verdict.key} ${verdict.why}. ${bad}`;
    case 'altered':
      return (
        `${backup} was altered in the store: the SHA-256 of ${verdict.key} is ${verdict.sha256}, and was ` +
        `${verdict.expectedSha256}. ${bad} Look at the disks of the store.`
      );
    case 'wrong key':
      return (
        `${backup} is encrypted for the keys ${verdict.needed.join(', ')}, and ` +
        `${verdict.held.length === 0 ? 'no key is' : `only ${verdict.held.join(', ')} is`} at hand. Nothing was restored. ` +
        'Add its identity to what REDIS_FLEET_BACKUP_IDENTITIES_FILE names, and try again.'
      );
    case 'unreadable':
      return `${backup} is as it was stored, and cannot be read back: ${verdict.key} ${verdict.why}. ${bad}`;
    case 'not loadable':
      return `${backup} is as Redis wrote it, and Redis's own check refuses it: ${verdict.why}. ${bad}`;
  }
}
