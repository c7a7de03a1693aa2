import type { Endpoint } from '../fleet/record.js';
import type { Loss } from '../fleet/restore.js';

/** What a restore did, or would do. */
export interface RestoredDatabase {
  /** Only said, not done. */
  readonly dryRun: boolean;
  /** What the data is called now. */
  readonly database: string;
  /** Whose backup it was. */
  readonly source: string;
  readonly leader: Endpoint;
  /** null: it has none yet. */
  readonly follower: Endpoint | null;
  /** Of its record now; of a dry run, as it is. */
  readonly epoch: number;
  /** Its id. */
  readonly backup: string;
  /** ISO 8601: the data is as of then. */
  readonly takenAt: string;
  /** null: nobody counted them. */
  readonly keys: number | null;
  /** A sentence about each backup that would have been better and was not taken. */
  readonly passedOver: readonly string[];
  readonly loss: Loss;
  /** null: of a dry run. */
  readonly leaderForks: number | null;
}
