/** What was observed of processes, files and hosts: the input of every decision. Sizes are bytes. */

import type { Endpoint } from './record.js';
import type { MemoryLimit } from './relocation/state.js';

/** A position in a replication history: Redis's `master_replid` and `master_repl_offset`. */
export interface ReplicationPosition {
  readonly id: string;
  readonly offset: number;
}

/** What the header of an RDB file says. */
export interface RdbHeader {
  readonly rdbVersion: number;
  readonly redisVersion: string | null;
  /** null: the file carries no position, so only a full synchronisation can follow it. */
  readonly position: ReplicationPosition | null;
  /** ISO 8601 of the file's `ctime` field. */
  readonly createdAt: string | null;
}

/** A data file on a host. */
export interface DataFile {
  readonly path: string;
  readonly bytes: number;
  readonly header: RdbHeader;
}

export interface ReplicaLink {
  readonly address: string;
  readonly port: number;
  /** Redis's words: `online`, `wait_bgsave`, `send_bulk`. */
  readonly state: string;
  readonly offset: number;
  /** Seconds since the last acknowledgement. */
  readonly lag: number;
}

export interface Backlog {
  readonly active: boolean;
  readonly size: number;
  /** Offset of the first byte it holds. */
  readonly firstByte: number;
  /** How many bytes it holds. */
  readonly length: number;
}

/** The facts of one running process, from INFO. */
export interface ProcessFacts {
  readonly runId: string;
  readonly redisVersion: string;
  readonly role: 'leader' | 'follower';
  readonly loading: boolean;
  /** `master_replid` and `master_repl_offset`. */
  readonly position: ReplicationPosition;
  /** `master_replid2`, usable while the wanted offset is at most `second_repl_offset`. */
  readonly previous: ReplicationPosition | null;
  readonly backlog: Backlog;
  readonly replicas: readonly ReplicaLink[];
  /** Of a follower: its link to its leader. */
  readonly link: {
    readonly address: string;
    readonly port: number;
    readonly up: boolean;
    readonly synchronising: boolean;
    /** `slave_repl_offset`. */
    readonly offset: number;
  } | null;
  readonly usedMemory: number;
  readonly residentMemory: number;
  readonly maxmemory: number;
  readonly clientMemory: number;
  readonly replicationMemory: number;
  readonly keys: number;
  /** INFO's `total_forks`: the only sure sign of a fork. */
  readonly totalForks: number;
  readonly saving: boolean;
  readonly lastCowBytes: number;
  /** Of the last child that saved data. Absent: there was none. */
  readonly lastSave?: { readonly ok: boolean; readonly seconds: number };
  readonly uptimeSeconds: number;
}

/** What a host agent sees of a process directory and of the process in it. */
export interface HostProcess {
  readonly database: string;
  readonly endpoint: Endpoint;
  readonly state: 'running' | 'stopped';
  readonly pid: number | null;
  readonly residentMemory: number | null;
  /** The last lines of its log when it is not running: why it stopped. */
  readonly lastWords: string | null;
}

export interface HostMemory {
  readonly total: number;
  /** MemAvailable, or less where a cgroup allows less. */
  readonly available: number;
}

/** What decides how a host behaves when memory is short. */
export interface KernelMemory {
  /** Which limit is the tightest now: that of the machine, of a cgroup around the agent, or of the fleet file. */
  readonly limitedBy: MemoryLimit;
  readonly swapTotal: number;
  readonly swapFree: number;
  /** `vm.overcommit_memory`: 0 a guess at each fork, 1 always, 2 never beyond a limit. null: unknown. */
  readonly overcommit: number | null;
}

/** What an agent reports about its host, published for `redis-fleet status`. */
export interface HostReport {
  readonly host: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly memory: HostMemory;
  /** Absent in the report of an older agent. */
  readonly kernel?: KernelMemory;
  readonly diskAvailable: number;
  readonly processes: readonly (HostProcess & { readonly facts: ProcessFacts | null })[];
}
