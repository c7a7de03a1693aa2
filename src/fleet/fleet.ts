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
  readonly backups: BackupSettings;
  readonly relocation: RelocationSettings;
}

/** When a host's memory is an alarm, and what is done about it then. */
export interface RelocationSettings {
  /** The largest fork is expected to fit no longer, within so long. Milliseconds. */
  readonly forkNoLongerFitsWithin: number;
  /** ask: `relocateDatabases` is started, and waits for approval. automatic: below `withoutAskingBelow` it does not wait. */
  readonly policy: RelocationPolicy;
  /** When memory may end sooner than this, nobody is asked. Milliseconds; null: somebody is asked in any case. */
  readonly withoutAskingBelow: number | null;
  /** After one has ended, however, none is started for the same host for so long. Milliseconds. */
  readonly notAgainWithin: number;
}

export type RelocationPolicy = 'ask' | 'automatic' | 'off';

/** What holds where a fleet file says nothing. */
export const DEFAULT_RELOCATION: RelocationSettings = {
  forkNoLongerFitsWithin: 6 * 3_600_000,
  policy: 'ask',
  withoutAskingBelow: null,
  notAgainWithin: 3_600_000,
};

export interface BackupSettings {
  /** How often each database is backed up. Milliseconds. */
  readonly every: number;
  /** `file:DIRECTORY` or `s3://BUCKET/PREFIX`. */
  readonly store: string;
  readonly keep: { readonly hourly: number; readonly daily: number; readonly weekly: number };
  /** Nobody takes backups on schedule. */
  readonly paused: boolean;
  readonly compression: 'zstd' | 'off';
  /** Bytes a second of the data file, on each host; null: as fast as it goes. */
  readonly rate: number | null;
  /** auto: where the agent has recipients. required: an agent without recipients takes no backups. */
  readonly encryption: 'auto' | 'required' | 'off';
  /** A database whose last verified backup is older is an alarm. null: twice `every`. Milliseconds. */
  readonly deadline: number | null;
  /** Every database's backups are tried out by a restore so often. Milliseconds. */
  readonly drillWithin: number;
}

/** What holds where a fleet file says nothing. */
export const DEFAULT_BACKUPS: BackupSettings = {
  every: 3_600_000,
  store: 'file:backups',
  keep: { hourly: 24, daily: 7, weekly: 4 },
  paused: false,
  compression: 'zstd',
  rate: null,
  encryption: 'auto',
  deadline: null,
  drillWithin: 7 * 86_400_000,
};

/** How old the last verified backup of a database may be. Milliseconds. */
export function backupDeadline({ deadline, every }: BackupSettings): number {
  return deadline ?? 2 * every;
}

/** A server with the databases that the fleet file gives it. */
export interface ServerWithDatabases extends Server {
  readonly databases: readonly Database[];
}
