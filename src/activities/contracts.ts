/**
 * What the activities are, as types: all that workflows know of them. Each interface is implemented by the
 * factory in the file of its system. Every activity may run again: it looks before it acts.
 */

import type { Database, Host, ServerWithDatabases } from '../fleet/fleet.js';
import type { DataFile, HostMemory, HostProcess, ProcessFacts, ReplicationPosition } from '../fleet/facts.js';
import type { DatabaseRecord, Endpoint, Urgency } from '../fleet/record.js';
import type { RequestByType } from '../fleet/requests.js';
import type { WorkflowType } from '../fleet/names.js';
import type { BackupActivities, BackupHostActivities } from './backupContract.js';
import type { DrillActivities, DrillHostActivities } from './drillContract.js';
import type { FenceActivities } from './fenceContract.js';
import type { MoveActivities, MoveHostActivities } from './moveContract.js';
import type { PauseActivities, PauseHostActivities } from './pauseContract.js';
import type { PromotionActivities } from './promotionContract.js';
import type { RelocationActivities } from './relocationContract.js';
import type { RestoreActivities, RestoreHostActivities } from './restoreContract.js';
import type { SwitchoverActivities } from './switchoverContract.js';
import type { WatchActivities } from './watchContract.js';

/** Where a bring-up happens: the record, the file's words about the database, and the host of the new follower. */
export interface Placement {
  readonly record: DatabaseRecord;
  readonly database: Database;
  readonly leaderHost: Host;
  readonly followerHost: Host;
  /** Where the new follower will listen. */
  readonly follower: Endpoint;
  /** `backups.store` of the applied fleet file. */
  readonly store: string;
}

export interface RequestActivities {
  /** Validates a workflow's argument. @throws InvalidRequest naming the field */
  checkRequest<T extends WorkflowType>(input: {
    type: T;
    request: unknown;
  }): Promise<{ fleet: string; request: RequestByType[T] }>;
}

/** On the control queue; the owner of every change is the calling workflow. */
export interface RecordActivities {
  /** @throws NotFound */
  readServer(input: { server: string }): Promise<ServerWithDatabases>;
  /** null for a database that has no record yet. @throws InvalidRecord */
  readRecords(input: { databases: readonly string[] }): Promise<readonly (DatabaseRecord | null)[]>;
  /** @throws NotFound, InvalidRequest (a host in the leader's zone, …) */
  readPlacement(input: { database: string; host?: string }): Promise<Placement>;
  /** Takes all or none. @throws DatabaseOwned, NotFound, InvalidRecord */
  claimDatabases(input: {
    databases: readonly string[];
    urgency: Urgency;
  }): Promise<readonly DatabaseRecord[]>;
  /** @throws OwnershipLost */
  confirmOwnership(input: { databases: readonly string[] }): Promise<void>;
  /** Lets go of what this workflow owns; leaves what it does not. */
  releaseDatabases(input: { databases: readonly string[] }): Promise<void>;
  /** New records of epoch 0, owned by this workflow. @throws RecordChanged */
  createRecords(input: {
    records: readonly { database: string; server: string; leader: Endpoint }[];
    urgency: Urgency;
  }): Promise<void>;
  /** Removes records of epoch 0 that this workflow owns. */
  removeNewRecords(input: { databases: readonly string[] }): Promise<void>;
  /** Epoch 0 → 1. @throws OwnershipLost, RecordChanged */
  establishRecords(input: {
    records: readonly { database: string; leader: Endpoint; follower: Endpoint }[];
  }): Promise<void>;
  /** Sets or adds the follower; the epoch must still be `epoch`. @throws OwnershipLost, RecordChanged */
  setFollower(input: {
    database: string;
    epoch: number;
    follower: Endpoint;
    role: 'follower' | 'extra';
  }): Promise<void>;
  /** Undoes setFollower. @throws OwnershipLost, RecordChanged */
  restoreFollowers(input: {
    database: string;
    epoch: number;
    follower: Endpoint | null;
    extraFollowers: readonly Endpoint[];
  }): Promise<void>;
  /** Waits (heartbeating) up to `waitMs` for the host's permit. @throws PermitHeld */
  acquireForkPermit(input: { host: string; database: string; reason: string; waitMs: number }): Promise<void>;
  releaseForkPermit(input: { host: string }): Promise<void>;
}

export type Observation =
  | { readonly reachable: true; readonly facts: ProcessFacts }
  | { readonly reachable: false; readonly why: string };

/** A leader as it was before a procedure, to prove afterwards what it did. */
export interface ForkBaseline {
  readonly endpoint: Endpoint;
  readonly runId: string;
  readonly totalForks: number;
}

/** `forks`: since the baseline. `totalForks`: INFO's counter now. */
export interface ForkProof {
  readonly forks: number;
  readonly totalForks: number;
}

/** On the control queue: needs only the network. */
export interface RedisActivities {
  /** One attempt with a short timeout; never throws for a process that does not answer. */
  observe(input: { endpoint: Endpoint }): Promise<Observation>;
  /** @throws Unreachable, WrongCredentials */
  inspect(input: { endpoint: Endpoint }): Promise<ProcessFacts>;
  /** Makes an empty, black-holed process a leader. @throws LeaderUnfit when it holds keys it should not */
  makeFirstLeader(input: { endpoint: Endpoint }): Promise<void>;
  /** Makes sure that a leader has a backlog, without a fork, and says where it stands. */
  ensureBacklog(input: { leader: Endpoint; bytes: number }): Promise<ReplicationPosition>;
  /** `CONFIG SET repl-backlog-size`; never shrinks below what is asked. Returns the size before. */
  resizeBacklog(input: { leader: Endpoint; bytes: number }): Promise<number>;
  /** Waits (heartbeating) until a process has loaded its file. @throws ProcessDied */
  awaitLoaded(input: { endpoint: Endpoint; deadlineMs: number }): Promise<ProcessFacts>;
  /**
   * Partial resynchronisation with `leader`; lets go again when a full one would be needed.
   * @throws BacklogTooShort, LeaderUnfit
   */
  follow(input: { follower: Endpoint; leader: ForkBaseline; deadlineMs: number }): Promise<ProcessFacts>;
  /**
   * Opens the source's gate for these followers, and shuts it: one fork serves all of them. The caller holds the fork
   * permit. `bufferBytes`: what the source may hold of its stream for each until it has loaded; default: Redis's own.
   * `pointed`: somebody else points them at the source.
   * @throws FollowerUnfit, LeaderUnfit
   */
  synchroniseFully(input: {
    source: ForkBaseline;
    followers: readonly Endpoint[];
    deadlineMs: number;
    bufferBytes?: number;
    pointed?: true;
  }): Promise<void>;
  /** Bytes a second that a leader's replication stream grows by, watched for `overMs`. */
  measureWriteRate(input: { leader: Endpoint; overMs: number }): Promise<number>;
  /** Shuts both gates of a process, whoever opened them. */
  shutGates(input: { endpoint: Endpoint }): Promise<void>;
  /** Points a follower at nobody, keeping its data. */
  detach(input: { follower: Endpoint }): Promise<void>;
  /** Equal offsets: the follower reached an offset that the leader had when asked. @throws NotCaughtUp, LeaderUnfit */
  awaitCaughtUp(input: {
    leader: ForkBaseline;
    follower: Endpoint;
    deadlineMs: number;
  }): Promise<{ readonly offset: number; readonly waitedMs: number }>;
  /** @throws LeaderForked, LeaderUnfit (another run id: it restarted) */
  proveForks(input: { baseline: ForkBaseline; allowed: number }): Promise<ForkProof>;
}

/** A process as an agent generates its configuration. The same for every role: promotion is always explicit. */
export interface ProcessSpec {
  readonly database: string;
  readonly port: number;
  readonly maxmemory: number;
  readonly backlogBytes: number;
}

/** On `host/<host>`: what must run beside Redis. */
export interface ProcessActivities
  extends FenceActivities, RestoreHostActivities, DrillHostActivities, MoveHostActivities {
  hostMemory(): Promise<HostMemory>;
  hostProcess(input: { database: string }): Promise<HostProcess | null>;
  /** @throws PortInUse, NoHeadroom, DiskFull */
  checkHost(input: {
    processes: readonly ProcessSpec[];
  }): Promise<{ memory: HostMemory; diskAvailable: number }>;
  /**
   * Starts a process, black-holed and gated, with the data file that is in its directory, or finds it running.
   * @throws PortInUse, BadDataFile, DiskFull, ProcessDied (with its last words)
   */
  startProcess(input: {
    process: ProcessSpec;
    allowEmpty: boolean;
  }): Promise<{ started: boolean; pid: number }>;
  /** `save`: it writes its data file in the foreground first, which does not fork. */
  stopProcess(input: { database: string; save: boolean }): Promise<{ stopped: boolean }>;
  /** Removes a stopped process's directory. */
  removeProcess(input: { database: string }): Promise<void>;
  /** The data file in the process's directory. null: none. @throws BadDataFile */
  readDataFile(input: { database: string }): Promise<DataFile | null>;
  /** Any RDB file on the host. @throws NotFound, BadDataFile */
  readBackupFile(input: { file: string }): Promise<DataFile>;
  /** Puts a copy in place of a stopped process's data file, keeping that one aside. @throws BadDataFile, DiskFull */
  placeBackup(input: { database: string; file: string }): Promise<DataFile>;
  /** An empty data file that stands at `position`, for a follower of a still empty leader. */
  placeSeed(input: { database: string; position: ReplicationPosition }): Promise<void>;
  /** Keeps a stopped process's data file aside, so that it starts empty and a full synchronisation fills it. */
  setDataFileAside(input: { database: string }): Promise<void>;
  /** Undoes placeBackup, placeSeed and setDataFileAside: the file that was there before is back. */
  restoreDataFile(input: { database: string }): Promise<void>;
  /** Forgets the file kept aside. */
  forgetPreviousDataFile(input: { database: string }): Promise<void>;
}

/** What an agent offers. */
export type HostActivities = ProcessActivities & BackupHostActivities & PauseHostActivities;

export type ControlActivities = RequestActivities &
  RecordActivities &
  RedisActivities &
  SwitchoverActivities &
  MoveActivities &
  RelocationActivities &
  PromotionActivities &
  PauseActivities &
  RestoreActivities &
  DrillActivities &
  BackupActivities &
  WatchActivities;
