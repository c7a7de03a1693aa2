import type { SweepPlan } from '../fleet/backupSweep.js';

/** What became of one database in a sweep, or in a backup of its own. Sizes are bytes, times ISO 8601. */
export type BackupOutcome = VerifiedBackup | SkippedBackup;

export interface VerifiedBackup {
  readonly how: 'verified';
  readonly database: string;
  /** Of the backup in the store. */
  readonly id: string;
  /** The data is as of then. */
  readonly at: string;
  readonly host: string;
  readonly keys: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** It was there already: verified since this runbook began. */
  readonly already: boolean;
  /** How many backups of this database expired, and were removed. */
  readonly expired: number;
  /** What could not be removed, as a sentence: the backup is verified all the same. */
  readonly untidy: string | null;
}

/** Nothing forked. */
export interface SkippedBackup {
  readonly how: 'skipped';
  readonly database: string;
  readonly why: string;
  /** Where its follower is now, when that is another host; else null. */
  readonly follower: string | null;
}

/** What a backup is at, as its heartbeats tell. */
export interface BackupStage {
  readonly stage: 'its turn to fork' | 'saving' | 'its turn to be stored' | 'storing' | 'verifying';
  readonly database: string;
  /** Bytes, of `storing` and `verifying`; keys, of `saving`. */
  readonly done: number;
  readonly total: number;
}

/** On `host/<host>`. */
export interface BackupHostActivities {
  /**
   * The whole of one backup, on its follower's host: save, store, verify, record, expire. Heartbeats what it is at. After
   * a crash it goes on where it was.
   * @param input.since ISO 8601: a backup that was verified and is not older will do
   * @param input.after the database that the same runbook has asked for just before: it goes first
   * @throws NoHeadroom, PermitHeld, DiskFull, FollowerUnfit, LeaderForked, BadDataFile, WrongCredentials, Unreachable, …
   */
  backupHere(input: { database: string; since: string; after: string | null }): Promise<BackupOutcome>;
}

/** On the control queue. */
export interface BackupActivities {
  /** What a sweep of this host has to take now. @throws NotFound (no such host) */
  planBackups(input: { host: string }): Promise<SweepPlan>;
  /** The host of the database's follower. @throws NotFound, FollowerUnfit (it has none) */
  followerHost(input: { database: string }): Promise<string>;
}
