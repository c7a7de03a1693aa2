/**
 * What happens to a fleet under load: a follower dies and comes back, a leader hands over as planned, a leader is killed,
 * both copies of a database are destroyed, and a host fills up. Applications write all the time, and at the end
 * every acknowledged write is read back.
 */

import { connectFleet } from '../client/index.js';
import { FleetError } from '../fleet/errors.js';
import type { Endpoint } from '../fleet/record.js';
import type { TestFleet } from '../testbed/fleet.js';
import { forksBetween, leaderForks, sumOfForks } from '../testbed/forks.js';
import { loadData } from '../testbed/load.js';
import { waitFor } from '../testbed/waiting.js';
import { Writer } from '../testbed/writer.js';
import { bothCopiesLost, type BothCopiesLost } from './chapters/bothCopiesLost.js';
import { fullHost, type FullHost } from './chapters/fullHost.js';
import { followerDies, type FollowerDied } from './chapters/followerDies.js';
import { leaderDies, type LeaderDied } from './chapters/leaderDies.js';
import { plannedChange, type PlannedChange } from './chapters/plannedChange.js';
import type { Progress } from './progress.js';

export interface StoryOptions {
  readonly megabytes: number;
  /** Of each database's writer, a second. */
  readonly writeRate: number;
  /** How long the dead follower is watched. */
  readonly watchSeconds: number;
}

export interface Story {
  readonly databases: number;
  /** Of payload, in all databases. */
  readonly bytesLoaded: number;
  readonly follower: FollowerDied;
  /** While the follower was down and came back: of all leaders, since they were born. */
  readonly leaderForks: number;
  /** Leaders that were other processes than at the beginning, before any was changed. */
  readonly leadersReplaced: number;
  readonly planned: PlannedChange;
  readonly unplanned: LeaderDied;
  readonly destroyed: BothCopiesLost;
  readonly full: FullHost;
  /** Of the writers that run all the time, but for those of the leader that is killed and of what is destroyed. */
  readonly acknowledged: number;
  readonly failed: number;
  readonly lostOnLeaders: number;
  readonly lostOnFollowers: number;
  /** Between two acknowledgements, of any of them. */
  readonly longestGapMs: number;
  /** Followers that did not reach their leader's offset once the writers had stopped. */
  readonly notEqual: number;
}

export async function tellStory(
  fleet: TestFleet,
  { megabytes, writeRate, watchSeconds }: StoryOptions,
  progress: Progress,
): Promise<Story> {
  const { application, databases } = fleet;
  const connection = connectFleet({ fleet: fleet.dev.fleet.name, consul: fleet.dev.consul });
  const atBirth = await leaderForks(fleet);
  const writers = new Map<string, Writer>();
  const [handedOver, killed, lost, dead] = databases;
  if (handedOver === undefined || killed === undefined || lost === undefined || dead === undefined)
    throw new FleetError('NotFound', 'The story needs four databases.');
  try {
    for (const database of databases) {
      // What is acknowledged in a crash and lost is counted by writers of their own.
      if (database === killed || database === lost) continue;
      const open = () => connection.redis(database, { ...application, onInterrupted: 'retry' });
      writers.set(database, Writer.start({ open, rate: writeRate, ...application }));
    }
    const bytesLoaded = await progress.step(
      `load ${megabytes} MB into each of ${databases.length} databases, which are written to all the time`,
      () => loadAll(fleet, megabytes),
    );

    progress.chapter('A follower dies');
    const follower = await followerDies(fleet, dead, watchSeconds, progress);
    const forks = await leaderForks(fleet);

    progress.chapter('A leader hands over');
    const planned = await plannedChange(fleet, connection, handedOver, progress);

    progress.chapter('A leader is killed');
    const unplanned = await leaderDies(fleet, connection, killed, progress);

    progress.chapter('Both copies of a database are lost');
    const destroyed = await bothCopiesLost(fleet, connection, lost, progress);

    progress.chapter('Nothing is missing');
    const counts = await progress.step('stop the writers', () =>
      Promise.all([...writers.values()].map((writer) => writer.stop())),
    );
    const notEqual = await progress.step('compare the offsets of every leader and follower', () =>
      countUnequal(fleet),
    );
    const missing = await progress.step(
      'read every acknowledged write back, from every leader and every follower',
      async () => ({
        onLeaders: await countLost(fleet, writers, (name) => fleet.leader(name)),
        onFollowers: await countLost(fleet, writers, (name) => fleet.follower(name)),
      }),
    );
    progress.chapter('A host fills up');
    const full = await fullHost(progress);

    return {
      databases: databases.length,
      bytesLoaded,
      follower,
      leaderForks: sumOfForks(forks),
      leadersReplaced: forksBetween(atBirth, forks).notComparable.length,
      planned,
      unplanned,
      destroyed,
      full,
      acknowledged: counts.reduce((sum, one) => sum + one.acknowledged, 0),
      failed: counts.reduce((sum, one) => sum + one.failed, 0),
      lostOnLeaders: missing.onLeaders,
      lostOnFollowers: missing.onFollowers,
      longestGapMs: Math.max(...counts.map((one) => one.longestGapMs)),
      notEqual,
    };
  } finally {
    await Promise.all([...writers.values()].map((writer) => writer.stop()));
    connection.close();
  }
}

async function loadAll(fleet: TestFleet, megabytes: number): Promise<number> {
  let bytes = 0;
  for (const [index, database] of fleet.databases.entries()) {
    const where = await fleet.leader(database);
    bytes += (await loadData({ where, megabytes, seed: index + 1, ...fleet.application })).bytes;
  }
  return bytes;
}

async function countUnequal(fleet: TestFleet): Promise<number> {
  const results = await Promise.allSettled(
    fleet.databases.map((database) =>
      waitFor(
        async () => {
          const [leader, follower] = await Promise.all([
            fleet.leader(database).then((endpoint) => fleet.facts(endpoint)),
            fleet.follower(database).then((endpoint) => fleet.facts(endpoint)),
          ]);
          return (
            leader.position.offset === follower.position.offset && leader.position.id === follower.position.id
          );
        },
        { deadlineMs: 30_000, what: `equal offsets of ${database}` },
      ),
    ),
  );
  return results.filter(({ status }) => status === 'rejected').length;
}

async function countLost(
  fleet: TestFleet,
  writers: ReadonlyMap<string, Writer>,
  locate: (database: string) => Promise<Endpoint>,
): Promise<number> {
  let lost = 0;
  for (const [database, writer] of writers) {
    lost += (await writer.verify(await locate(database), fleet.application)).lost;
  }
  return lost;
}
