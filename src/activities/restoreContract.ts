/** What bringing back data from backups asks of the systems. */

import type { BackupInStore } from '../fleet/backup.js';
import type { ReplicationPosition } from '../fleet/facts.js';
import type { Endpoint } from '../fleet/record.js';
import type { RestoreDatabaseRequest } from '../fleet/requests.js';
import type { StoredBackup } from '../fleet/bringUp.js';
import type { FetchedBackup } from '../fleet/restore.js';
import type { RestorePlace } from '../fleet/restorePlace.js';
import type { ForkBaseline } from './contracts.js';

/** Where the backups of a database are. `store`: `backups.store` of the applied fleet file. */
export interface BackupsOf {
  readonly store: string;
  readonly fleet: string;
  readonly database: string;
}

export type Fetched =
  | { readonly sound: true; readonly backup: FetchedBackup }
  /** It is damaged, or cannot be decrypted here: nothing of it was kept. `why` is a sentence. */
  | { readonly sound: false; readonly why: string };

/** On the control queue. */
export interface RestoreActivities {
  /** Where a restore would put the data. Changes nothing. @throws NotFound, InvalidRequest */
  placeRestore(input: {
    request: RestoreDatabaseRequest;
  }): Promise<{ readonly place: RestorePlace; readonly store: string }>;
  /** The next epoch, with these. @throws OwnershipLost, RecordChanged */
  publishRestored(input: {
    database: string;
    epoch: number;
    leader: Endpoint;
    follower: Endpoint | null;
  }): Promise<void>;
  /** Lets a leader take writes that `leadFromFile` kept from it. @throws LeaderUnfit (it does not lead) */
  letServe(input: { leader: Endpoint }): Promise<void>;
}

/** On `host/<host>`. */
export interface RestoreHostActivities {
  /** What the store has of a database, newest first. */
  listBackups(input: BackupsOf): Promise<readonly BackupInStore[]>;
  /** The newest verified backups of a database with what their manifests say, newest first; at most `most`. */
  verifiedBackups(input: BackupsOf & { readonly most: number }): Promise<readonly StoredBackup[]>;
  /**
   * Brings a backup to this host as the file that Redis wrote, checked to the last byte. One that was never verified is
   * read through by Redis's own check. `into` is the database that it is for, whose directory is not touched.
   * @throws DiskFull, Unreachable
   */
  fetchBackup(input: BackupsOf & { readonly id: string; readonly into: string }): Promise<Fetched>;
  /** Removes whatever was fetched for a database. */
  discardFetched(input: { into: string }): Promise<void>;
  /**
   * Makes a process lead that was started from a data file: with the file's replication history, so that a follower
   * started from the same file continues it, without a fork. It takes no writes before `letServe`.
   * `position`: of the file; null where it has none.
   * @throws LeaderUnfit
   */
  leadFromFile(input: { leader: Endpoint; position: ReplicationPosition | null }): Promise<ForkBaseline>;
}
