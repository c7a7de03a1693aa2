/**
 * What is known of a fleet's memory: what the agents publish, and what forecasts and the planner of relocations see.
 * Types only. Sizes are bytes, rates bytes a second, times milliseconds since 1970 by the clock of the host.
 */

import type { HostMemory } from '../facts.js';
import type { Endpoint } from '../record.js';

/** A figure with an honest spread: it is rarely below `low` or above `high`. */
export interface Spread {
  readonly low: number;
  readonly expected: number;
  readonly high: number;
}

/** What sets the limit of a host's memory: the machine, a cgroup around the agent, or what the fleet file gives it. */
export type MemoryLimit = 'machine' | 'cgroup' | 'budget';

export interface LimitedMemory extends HostMemory {
  readonly limitedBy: MemoryLimit;
}

/** One process in one look at its host. */
export interface ProcessSample {
  readonly database: string;
  readonly port: number;
  readonly role: 'leader' | 'follower';
  /** Redis's `run_id`, or its beginning: another one means that the process was restarted since. */
  readonly run: string;
  readonly usedMemory: number;
  readonly residentMemory: number;
  /** 0: no limit. */
  readonly maxmemory: number;
  /** `master_repl_offset`: its growth is the rate of writes. */
  readonly offset: number;
}

/** One look at a host. A process that did not answer is left out. */
export interface MemorySample {
  readonly at: number;
  readonly memory: HostMemory;
  readonly processes: readonly ProcessSample[];
}

/** One fork that ended well: what it cost. */
export interface ForkSample {
  readonly database: string;
  readonly port: number;
  /** When it had ended. */
  readonly at: number;
  readonly seconds: number;
  /** Redis's `rdb_last_cow_size`. */
  readonly copyOnWrite: number;
  readonly usedMemory: number;
  /** Rate of writes while the child lived, from the offsets around it. */
  readonly writeRate: number;
}

/**
 * What an agent remembers of its host, published so that a forecast survives restarts. Bounded: dense now, thinner with
 * age (at most some 64 samples in all, and the last few forks of each database).
 */
export interface MemoryHistory {
  readonly host: string;
  readonly limitedBy: MemoryLimit;
  readonly cores: number;
  /** Oldest first. */
  readonly samples: readonly MemorySample[];
  /** Oldest first. */
  readonly forks: readonly ForkSample[];
}

/** A host as the planner sees it. */
export interface HostState {
  readonly name: string;
  readonly zone: string;
  readonly address: string;
  /** The server whose pair it belongs to. */
  readonly server: string;
  /** Why nothing may be moved here (draining, in maintenance, its agent is silent); null: it takes databases. */
  readonly closed: string | null;
  readonly memory: LimitedMemory;
  readonly cores: number;
  /** Ports in use there, by whatever process. */
  readonly takenPorts: readonly number[];
  /** Growth of what is no database's: other work on the machine. */
  readonly otherGrowth: Spread;
}

/** A database as the planner sees it. */
export interface DatabaseState {
  readonly name: string;
  readonly server: string;
  readonly leader: Endpoint;
  readonly follower: Endpoint | null;
  readonly extraFollowers: readonly Endpoint[];
  /** Of the leader. */
  readonly usedMemory: number;
  /** What the host gets back when the process stops: that of the larger of the two processes. */
  readonly residentMemory: number;
  /** 0: no limit. */
  readonly maxmemory: number;
  /** Of used memory. It ends at `maxmemory`. */
  readonly growth: Spread;
  /** Bytes a second in the replication stream. */
  readonly writeRate: number;
  /** Its last forks, on whichever host; oldest first. */
  readonly forks: readonly ForkSample[];
  /** The runbook that owns it now (`switchover, workflow …`): it is left where it is. null: free to move. */
  readonly busy: string | null;
}

/** All that a plan of relocations is made from. */
export interface RelocationState {
  readonly hosts: readonly HostState[];
  readonly databases: readonly DatabaseState[];
}
