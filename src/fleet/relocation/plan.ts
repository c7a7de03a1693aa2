/**
 * A plan of relocations: what is asked for, and what comes out. Types only. Sizes are bytes, rates bytes a second, times
 * seconds from the moment of planning.
 */

import type { Endpoint } from '../record.js';
import type { HostForecast } from './forecast.js';

export type Goal =
  /** These hosts shall be safe until the horizon. Default: every host that is not. */
  | { readonly kind: 'relieve'; readonly hosts?: readonly string[] }
  /** Everything off this host. */
  | { readonly kind: 'drain'; readonly host: string }
  /** Every server's used share within `tolerance` (0 to 1) of the mean, by few moves. */
  | { readonly kind: 'rebalance'; readonly tolerance?: number };

export interface PlannerOptions {
  /** For so long every host that is touched shall be safe, at the high end of the spread of growth. */
  readonly horizon: number;
  /** What the copies that leave a host at the same time get in all. */
  readonly bandwidth: number;
  /** How often the data leaves the host that forks: one fork feeds the future leader and its follower, both at once. */
  readonly copies: number;
  /** What a move takes however small the database is. */
  readonly fixedSeconds: number;
  /** Moves at the same time in the whole fleet. A host takes part in one at a time: it has one fork permit. */
  readonly atOnce: number;
  /** On each host at most, or four for each core if that is more. */
  readonly processesPerHost: number;
  /** No database gets a port below. */
  readonly lowestPort: number;
  /** What a fork copies for others while it saves, to judge how long writes would have to pause for it. */
  readonly forkSpeed: number;
  /** Most moves of one rebalancing. */
  readonly mostMoves: number;
  /** Moves that have begun. They are taken as they are: nothing else uses their hosts before they end. */
  readonly underWay: readonly PlannedMove[];
  /** Where a copy fits in no other way, writes may wait for its fork, so that it copies next to nothing: no longer than this. */
  readonly pauseWrites: number;
}

const MiB = 1024 ** 2;

/**
 * Measured on two cores, over the loopback: whole moves of 300 to 400 MiB in 6 to 9 seconds, and in 13 to 22 while the
 * cores had six times the work that they can do. These figures make it 16 to 18: 8 seconds whatever the size, and two
 * thirds of what a gigabit carries for the copies.
 */
export const DEFAULT_OPTIONS: PlannerOptions = {
  horizon: 3_600,
  bandwidth: 80 * MiB,
  copies: 2,
  fixedSeconds: 8,
  atOnce: 32,
  processesPerHost: 64,
  lowestPort: 6_300,
  forkSpeed: 100 * MiB,
  mostMoves: 50,
  underWay: [],
  pauseWrites: 0,
};

/** Leader and follower of a database: two hosts in two zones. */
export interface Pair {
  readonly server: string;
  readonly leader: Endpoint;
  readonly follower: Endpoint;
}

export interface PlannedMove {
  readonly database: string;
  /** Used memory now: what is copied. */
  readonly bytes: number;
  readonly from: Pair;
  readonly to: Pair;
  readonly start: number;
  /** The old processes are gone by then. */
  readonly end: number;
  /** Writes wait while it is copied, and that may take so long. Absent: they do not. */
  readonly pauseSeconds?: number;
}

/** One host over time, at the high end of the spread of growth. */
export interface HostCourse {
  readonly host: string;
  readonly points: readonly CoursePoint[];
}

export interface CoursePoint {
  readonly at: number;
  readonly available: number;
  /** For a fork of the largest database, beside the reserve. */
  readonly forkNeeds: number;
  /** What would be available if nothing moved. */
  readonly without: number;
}

export interface Moves {
  /** In the order in which they begin. */
  readonly moves: readonly PlannedMove[];
  /** Sum over the moves. */
  readonly bytes: number;
  /** Until the last one has ended. */
  readonly seconds: number;
  /** Until when every host that it is about is safe, once the moves have ended; null: no end is in sight. */
  readonly safeUntil: number | null;
  /** Every host that it is about, or that is touched. */
  readonly before: readonly HostForecast[];
  /** The same hosts, as if the moves had ended already. */
  readonly after: readonly HostForecast[];
  readonly course: readonly HostCourse[];
}

/** What would help where no plan does. */
export type Remedy =
  | {
      readonly kind: 'pause writes';
      readonly databases: readonly { readonly database: string; readonly seconds: number }[];
    }
  /** `memory` for each of its two hosts. */
  | { readonly kind: 'new server'; readonly memory: number }
  /** Growth ends there; what Redis does then is up to its maxmemory policy. */
  | {
      readonly kind: 'lower maxmemory';
      readonly databases: readonly { readonly database: string; readonly maxmemory: number }[];
    };

export type RelocationPlan =
  | { readonly kind: 'safe already'; readonly before: readonly HostForecast[] }
  | ({ readonly kind: 'plan' } & Moves)
  | {
      readonly kind: 'impossible';
      /** A sentence for each obstacle. */
      readonly why: readonly string[];
      /** What could be done all the same; `safeUntil` says how far it goes. */
      readonly bestEffort: Moves | null;
      readonly would: readonly Remedy[];
      readonly before: readonly HostForecast[];
    };
