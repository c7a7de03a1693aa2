/**
 * The fleet as its file describes it, after validation. Sizes are bytes, durations milliseconds.
 * Plain types only: workflows import this file.
 */

export interface Host {
  readonly name: string;
  readonly zone: string;
  /** IP address that Redis binds to and that the other hosts reach. */
  readonly address: string;
  /** Memory that Redis on this host may plan with, in bytes. */
  readonly memory: number;
}

/** A numbered pair of hosts in two zones; the first leads by default. */
export interface Server {
  readonly name: string;
  readonly hosts: readonly [Host, Host];
}

export interface Database {
  readonly name: string;
  /** The server that holds it when it is first provisioned. A database moves; the record says where it is now. */
  readonly server: string;
  readonly port: number;
  /** Bytes. */
  readonly maxmemory: number;
  /** Whether a follower is promoted when its leader fails. Default: that of the fleet. */
  readonly policy?: PromotionPolicy;
}

/** automatic: promote at once. ask: prepare, and wait for an engineer. off: only say it. */
export type PromotionPolicy = 'automatic' | 'ask' | 'off';

/** When a leader counts as failed, and what is done then. */
export interface Detection {
  /** A leader that gives no answer for so long is down. Milliseconds. */
  readonly downAfter: number;
  readonly policy: PromotionPolicy;
  /** A follower that is known to be further behind its leader is promoted only by `allowDataLoss`. Bytes. */
  readonly lagLimit: number;
  /** A database that was promoted is not promoted again within this time without an engineer's word. Milliseconds. */
  readonly notAgainWithin: number;
  /** When leaders on more than this percentage of the fleet's servers (and on more than two) fail at once, ask. */
  readonly breaker: number;
  /** How many databases are promoted, or handed over, at the same time. */
  readonly atOnce: number;
}

/** What holds where a fleet file says nothing. */
export const DEFAULT_DETECTION: Detection = {
  downAfter: 1_000,
  policy: 'automatic',
  lagLimit: 16 * 1024 ** 2,
  notAgainWithin: 600_000,
  breaker: 50,
  atOnce: 64,
};

export interface Fleet {
  readonly name: string;
  readonly servers: readonly Server[];
  readonly databases: readonly Database[];
  readonly detection: Detection;
  readonly leases: { readonly ttl: number };
  readonly backups: {
    readonly every: number;
    readonly store: string;
    readonly keep: { readonly hourly: number; readonly daily: number; readonly weekly: number };
  };
}

/** A server with the databases that the fleet file gives it. */
export interface ServerWithDatabases extends Server {
  readonly databases: readonly Database[];
}
