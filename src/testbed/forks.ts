/** Whether leaders forked, by the only sure sign: their own `total_forks`. */

import { sameEndpoint } from '../fleet/record.js';
import type { Endpoint } from '../fleet/record.js';
import type { TestFleet } from './fleet.js';

export interface LeaderForks {
  readonly database: string;
  readonly leader: Endpoint;
  /** Another one: the process was started anew, and its counter with it. */
  readonly runId: string;
  /** Since the process started. */
  readonly totalForks: number;
}

/** Of every leader that the records name now. @throws Unreachable when one does not answer */
export function leaderForks(fleet: TestFleet): Promise<readonly LeaderForks[]> {
  return Promise.all(
    fleet.databases.map(async (database) => {
      const leader = await fleet.leader(database);
      const { runId, totalForks } = await fleet.facts(leader);
      return { database, leader, runId, totalForks };
    }),
  );
}

/** Since their processes started. */
export function sumOfForks(leaders: readonly LeaderForks[]): number {
  return leaders.reduce((sum, { totalForks }) => sum + totalForks, 0);
}

export interface ForkDifference {
  readonly forks: number;
  /** Databases whose leader is another process than before: their forks in between are unknown. */
  readonly notComparable: readonly string[];
}

export function forksBetween(before: readonly LeaderForks[], after: readonly LeaderForks[]): ForkDifference {
  let forks = 0;
  const notComparable: string[] = [];
  for (const was of before) {
    const is = after.find(({ database }) => database === was.database);
    if (is?.runId === was.runId && sameEndpoint(is.leader, was.leader))
      forks += is.totalForks - was.totalForks;
    else notComparable.push(was.database);
  }
  return { forks, notComparable };
}
