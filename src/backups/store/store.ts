/** What a place for backups has to offer. Two implementations: a directory, and a bucket of an S3 service. */

import type { StoredObject } from '../../fleet/backup.js';

export interface PutOptions {
  /** How large it will be at most, in bytes, as far as known: for the size of parts. */
  readonly atMostBytes?: number;
  /**
   * The content is the same at every attempt: what an attempt that was killed had sent is compared, and not sent
   * again. Otherwise every attempt starts over.
   */
  readonly repeatable?: boolean;
  readonly signal?: AbortSignal;
}

export interface Put {
  readonly bytes: number;
  /** Of these, what an earlier attempt had sent already. */
  readonly resumedBytes: number;
}

export interface GetOptions {
  /** First byte, from 0. */
  readonly from?: number;
  readonly signal?: AbortSignal;
}

/** Content in pieces of any size. A piece may be overwritten once the next one is asked for. */
export type Pieces = AsyncIterable<Uint8Array>;

/**
 * Keys are words of A-Z, a-z, 0-9, `.`, `_` and `-` between slashes, none beginning with a dot. Every method throws
 * FleetErrors: DiskFull, WrongCredentials, Unreachable (slow, cut off, refused: worth another try), NotFound,
 * InvalidRequest.
 */
export interface BackupStore {
  /** As messages name it; without secrets. */
  readonly name: string;
  /** Nothing is to be seen under `key` before all of it is safe; an object that was there is replaced at once. */
  put(key: string, content: Pieces, options?: PutOptions): Promise<Put>;
  /** A content that ends early throws. @throws NotFound */
  get(key: string, options?: GetOptions): Pieces;
  stat(key: string): Promise<StoredObject | null>;
  /** Everything whose key begins with `prefix`, sorted by key. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** One that is gone is fine. */
  remove(key: string): Promise<void>;
  /** Removes what attempts left behind that were broken off and are older than `olderThanMs`. @returns how many */
  sweepUnfinished(prefix: string, olderThanMs: number): Promise<number>;
  /** Lets go of connections. */
  close(): void;
}
