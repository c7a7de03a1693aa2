/** The argument of each workflow type: one JSON object. `checkRequest` (requestSchemas.ts) validates it first. */

import type { PauseFork } from './pausedFork.js';
import type { Approvals } from './runbook.js';

export interface ProvisionServerRequest {
  readonly server: string;
  readonly approved?: Approvals;
}

/** How a follower gets its data, in the order of what spares the leader most. */
export const BRING_UP_WAYS = ['own-files', 'backup', 'chain', 'full'] as const;
export type BringUpWay = (typeof BRING_UP_WAYS)[number];

export interface BringUpFollowerRequest {
  readonly database: string;
  /** Where the follower shall run. Default: where the record has it, else the leader's partner host. */
  readonly host?: string;
  /** An RDB file on that host. */
  readonly backup?: { readonly file: string };
  /** Only this way; default: the first that is possible. */
  readonly way?: BringUpWay;
  /** Where a fork of the leader fits in no other way: its writes may wait for it, no longer than so many seconds. */
  readonly pauseWrites?: { readonly seconds: number };
  /** Approvals given beforehand, by step name. */
  readonly approved?: Approvals;
}

/** One, several, or all that a host leads: exactly one of the three. */
export interface SwitchoverRequest {
  readonly database?: string;
  readonly databases?: readonly string[];
  /** All that this host leads. */
  readonly host?: string;
  /** The host that the caller believes leads: refused when it does not. */
  readonly expectedLeader?: string;
  /** Only say what would be done. */
  readonly dryRun?: boolean;
  readonly approved?: Approvals;
}

/** Exactly one of `database`, `databases`, `host` and `zone`. */
export interface PromoteFollowerRequest {
  readonly database?: string;
  readonly databases?: readonly string[];
  /** All that this host leads. */
  readonly host?: string;
  /** All that the hosts of this zone lead. */
  readonly zone?: string;
  readonly expectedLeader?: string;
  /** Databases whose follower may be promoted although it is known to lack acknowledged writes. */
  readonly allowDataLoss?: readonly string[];
  /** Wait for an engineer's word before anything is changed: the policy `ask`. */
  readonly ask?: boolean;
  /** Started by a watch, which has seen the leaders silent for `downAfter` already. */
  readonly detected?: Detected;
  readonly dryRun?: boolean;
  readonly approved?: Approvals;
}

/** What a watch saw before it called for a promotion. */
export interface Detected {
  /** Workflow id of the watch. */
  readonly by: string;
  /** One sentence for each database, for people. */
  readonly why: Readonly<Record<string, string>>;
}

/** A pair of hosts in two zones: those of a server, of which the first leads unless `leader` says otherwise, or two by name. */
export type MoveTarget =
  | { readonly server: string; readonly leader?: string }
  | { readonly leader: string; readonly follower: string };

/**
 * The host that has the database's follower now may be the target's follower: then that one stays, and only the leader
 * moves. The host that leads now may not be the target's leader.
 */
export interface MoveDatabaseRequest {
  readonly database: string;
  readonly to: MoveTarget;
  /** Of the new processes on both hosts. Default: the one that the leader has, where it is free. */
  readonly port?: number;
  /** Bytes a second that the copy may take of the network and of the disks. Default: as fast as it goes. */
  readonly bandwidth?: number;
  /** Where a fork of the follower fits in no other way: the leader's writes may wait for it, no longer than so many seconds. */
  readonly pauseWrites?: { readonly seconds: number };
  /** The host that the caller believes leads: refused when it does not. */
  readonly expectedLeader?: string;
  /** Prepare everything, and wait for an engineer's word before the hand-over (`approve`). */
  readonly ask?: boolean;
  readonly approved?: Approvals;
}

/** Exactly one of `host`, `drain` and `rebalance`. */
export interface RelocateDatabasesRequest {
  /** As many databases off this host as it takes to make it safe: a fork of its largest fits, and memory does not end. */
  readonly host?: string;
  /** Everything off this host. */
  readonly drain?: string;
  /** As few moves as even out how full the servers are. */
  readonly rebalance?: true;
  /** Only say what would be moved. */
  readonly dryRun?: boolean;
  /** Goes ahead without asking where a host's memory may end within so many seconds. */
  readonly withoutAskingBelow?: number;
  /** For so many seconds all hosts shall be safe. Default: an hour. */
  readonly horizon?: number;
  /** Moves at the same time. Default: as many as the hosts can bear. */
  readonly atOnce?: number;
  /** Bytes a second that each copy may take. Default: as fast as it goes. */
  readonly bandwidth?: number;
  /** Where no plan fits otherwise: writes to a database may wait while it is copied, no longer than so many seconds. */
  readonly pauseWrites?: { readonly seconds: number };
  readonly approved?: Approvals;
}

/** Exactly one of `database` and `host`. */
export interface PauseWritesRequest {
  readonly database?: string;
  /** All that this host leads, one after the other. */
  readonly host?: string;
  /** No longer than this, each. Default 10, at most 60. */
  readonly seconds?: number;
  /**
   * What the leader does meanwhile. `save` (the default): it writes its data file. `follower`: its follower, which runs and
   * lacks the data, gets all of it. `nothing`: writes wait, and that is all.
   */
  readonly fork?: PauseFork;
  readonly approved?: Approvals;
}

export interface WatchServerRequest {
  readonly server: string;
}

export interface RestoreDatabaseRequest {
  /** Whose backup. */
  readonly database: string;
  /** `newest` (the default), the id or the key of a backup, or the newest whose data is not younger than a time (ISO 8601). */
  readonly from?: string | { readonly asOf: string };
  /** In place of what the database holds now (the default), or as a new database beside it. */
  readonly into?:
    | 'in-place'
    | {
        readonly database: string;
        /** Default: where the fleet file has it, else the server of the old one. */
        readonly server?: string;
        /** Default: that of the fleet file, else one that nobody has. */
        readonly port?: number;
      };
  /** In place: which of the database's hosts shall lead. Default: the one that the record names. */
  readonly host?: string;
  /** Only say what would be done. */
  readonly dryRun?: boolean;
  readonly approved?: Approvals;
}

export interface BackupDatabaseRequest {
  readonly database: string;
  readonly approved?: Approvals;
}

/** Every database whose follower is on this host. */
export interface BackupSweepRequest {
  readonly host: string;
  readonly approved?: Approvals;
}

/** `{}`: all that are due. */
export interface DrillBackupsRequest {
  /** Only this one, due or not. */
  readonly database?: string;
  /** Where; default: the host with the most room. */
  readonly host?: string;
}

export interface RequestByType {
  readonly provisionServer: ProvisionServerRequest;
  readonly bringUpFollower: BringUpFollowerRequest;
  readonly switchover: SwitchoverRequest;
  readonly promoteFollower: PromoteFollowerRequest;
  readonly moveDatabase: MoveDatabaseRequest;
  readonly relocateDatabases: RelocateDatabasesRequest;
  readonly pauseWrites: PauseWritesRequest;
  readonly watchServer: WatchServerRequest;
  readonly restoreDatabase: RestoreDatabaseRequest;
  readonly drillBackups: DrillBackupsRequest;
  readonly backupDatabase: BackupDatabaseRequest;
  readonly backupSweep: BackupSweepRequest;
}
