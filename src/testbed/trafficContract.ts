/** What the process that writes and the process that measures say to each other. */

import type { Address, Login } from './clients.js';

/** How a client finds the leader. */
export type Route =
  /** Not at all: it stays with one process, and comes back to it whatever happens. */
  | ({ readonly by: 'address' } & Address)
  /** As an application of this project does: told by Consul. `env` points at it. */
  | { readonly by: 'fleet'; readonly fleet: string; readonly env: Readonly<Record<string, string>> }
  /** By trying the other one of two: what follows the bare script, which tells nobody. */
  | { readonly by: 'trying'; readonly both: readonly [Address, Address] }
  /** As ioredis does with Redis Sentinel. `subscribed`: told of a failover, and not only asking after a loss. */
  | { readonly by: 'sentinel'; readonly sentinels: readonly Address[]; readonly subscribed: boolean };

/** One client, which writes all the time. */
export interface StreamOptions {
  /** Of the database, as the route knows it. */
  readonly name: string;
  readonly route: Route;
  readonly login: Login;
  /** Writes a second, or as many as the leader takes. */
  readonly rate: number | 'full';
  /** Writes that may wait for their answers at once. */
  readonly inFlight: number;
}

/** Times are milliseconds of the machine's monotonic clock, the same in every process: `now()`. */
export interface Window {
  readonly from: number;
  /** Default: until the question is answered. */
  readonly to?: number;
}

/** By one server. */
export interface Acknowledged {
  readonly count: number;
  readonly last: number;
}

export interface StreamFigures {
  readonly name: string;
  readonly acknowledged: number;
  /** Refused, or given up by the client: the outcome is unknown. */
  readonly failed: number;
  /** Between two acknowledgements that follow each other, or the last one and the end of the window. */
  readonly longestGapMs: number;
  /** When the longest gap began and ended. */
  readonly gap: { readonly from: number; readonly to: number };
  /** By who acknowledged: `address:port`. */
  readonly by: Readonly<Record<string, Acknowledged>>;
  /** First messages of failures, at most five different ones. */
  readonly problems: readonly string[];
}

export interface StreamVerification {
  readonly name: string;
  readonly acknowledged: number;
  /** Acknowledged, and not there. */
  readonly lost: number;
  /** The same, by who had acknowledged them. */
  readonly lostBy: Readonly<Record<string, number>>;
}

export type TrafficQuestion =
  | { readonly ask: 'start'; readonly streams: readonly StreamOptions[] }
  | { readonly ask: 'figures'; readonly window: Window }
  | { readonly ask: 'stop' }
  | { readonly ask: 'verify'; readonly index: number; readonly where: Address; readonly login: Login };

export interface TrafficMessage {
  readonly id: number;
  readonly question: TrafficQuestion;
}

export type TrafficAnswer =
  { readonly id: number; readonly answer: unknown } | { readonly id: number; readonly problem: string };

export function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
