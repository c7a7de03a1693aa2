/** The story: a follower dies, its leader does not notice, and it comes back although the worker dies as well. */

import { followRunbook } from '../cli/followRunbook.js';
import { queryRunbook } from '../cli/runbookState.js';
import { startRunbook } from '../connections/startRunbook.js';
import { FleetError } from '../fleet/errors.js';
import type { Endpoint } from '../fleet/record.js';
import type { RunbookState } from '../fleet/runbook.js';
import type { TestFleet } from '../testbed/fleet.js';
import { forksBetween, leaderForks, sumOfForks } from '../testbed/forks.js';
import { loadData } from '../testbed/load.js';
import { pause, waitFor } from '../testbed/waiting.js';
import { Writer } from '../testbed/writer.js';
import { START } from '../workflows/bringUpOutline.js';
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
  readonly victim: { readonly database: string; readonly follower: Endpoint; readonly pid: number };
  readonly watchedSeconds: number;
  /** It should be 0. */
  readonly startedByItself: number;
  readonly forksWhileDown: number;
  readonly runbook: RunbookState;
  readonly way: string;
  readonly why: string;
  readonly rejected: readonly { readonly way: string; readonly why: string }[];
  readonly workerKill: { readonly pid: number; readonly during: string };
  readonly bringUpSeconds: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly lostOnLeaders: number;
  readonly lostOnFollowers: number;
  /** Between two acknowledgements, of any writer. */
  readonly longestGapMs: number;
  /** Followers that did not reach their leader's offset once the writers had stopped. */
  readonly notEqual: number;
  /** Of all leaders, since they were born. */
  readonly leaderForks: number;
  /** Leaders that are other processes than at the beginning. */
  readonly leadersReplaced: number;
}

const BRING_UP_WITHIN_MS = 180_000;

export async function tellStory(
  fleet: TestFleet,
  { megabytes, writeRate, watchSeconds }: StoryOptions,
  progress: Progress,
): Promise<Story> {
  const { application, databases } = fleet;
  const atBirth = await leaderForks(fleet);
  const writers = new Map(
    databases.map((database) => [
      database,
      Writer.start({ locate: () => fleet.leader(database), rate: writeRate, ...application }),
    ]),
  );
  try {
    const loaded = await progress.step(
      `load ${megabytes} MB into each of ${databases.length} databases, which are written to all the time`,
      async () => {
        let bytes = 0;
        for (const [index, database] of databases.entries()) {
          const where = await fleet.leader(database);
          bytes += (await loadData({ where, megabytes, seed: index + 1, ...application })).bytes;
        }
        return bytes;
      },
    );

    const database = databases[Math.min(3, databases.length - 1)];
    if (database === undefined) throw new FleetError('NotFound', 'The fleet has no database.');
    const leader = await fleet.leader(database);
    const follower = await fleet.follower(database);
    await progress.step(
      `save ${database} on its follower, as the hourly backup does: the fork is there, not on the leader`,
      () => fleet.save(database, follower),
    );
    const beforeDeath = await leaderForks(fleet);

    const pid = await progress.step(
      `kill the follower of ${database} on ${follower.host} with kill -9`,
      async () => {
        const victim = fleet.pidOf(database, follower.host);
        if (victim === null)
          throw new FleetError('NotFound', `${database} does not run on ${follower.host}.`);
        process.kill(victim, 'SIGKILL');
        await waitFor(() => fleet.pidOf(database, follower.host) === null, {
          deadlineMs: 5000,
          what: `the end of process ${victim}`,
        });
        return victim;
      },
    );
    const startedByItself = await progress.step(
      `watch it for ${watchSeconds} s: nothing starts it, and ${database} goes on without it`,
      () => watchDown(fleet, database, follower, watchSeconds, progress.signal),
    );
    const whileDown = forksBetween(beforeDeath, await leaderForks(fleet));

    const begun = performance.now();
    const runbookName = await startRunbook(
      fleet.dev.temporal,
      'bringUpFollower',
      database,
      { database },
      { fleet: fleet.dev.fleet.name, databases: [database], hosts: [leader.host, follower.host] },
    );
    const workerKill = await progress.step(
      `start ${runbookName.workflowId}, and kill the control worker with kill -9 in the middle of it`,
      () => killWorkerDuring(fleet, runbookName),
    );
    const { runbook, result } = await progress.step(
      `wait for ${runbookName.workflowId}, which goes on in the next worker`,
      () => endOf(fleet, runbookName, progress),
    );
    const bringUpSeconds = (performance.now() - begun) / 1000;

    const counts = await progress.step('stop the writers', () =>
      Promise.all([...writers.values()].map((writer) => writer.stop())),
    );
    const notEqual = await progress.step('compare the offsets of every leader and follower', () =>
      countUnequal(fleet),
    );
    const lost = await progress.step(
      'read every acknowledged write back, from every leader and every follower',
      async () => ({
        onLeaders: await countLost(fleet, writers, (name) => fleet.leader(name)),
        onFollowers: await countLost(fleet, writers, (name) => fleet.follower(name)),
      }),
    );
    const atTheEnd = await leaderForks(fleet);
    return {
      databases: databases.length,
      bytesLoaded: loaded,
      victim: { database, follower, pid },
      watchedSeconds: watchSeconds,
      startedByItself,
      forksWhileDown: whileDown.forks,
      runbook,
      ...result,
      workerKill,
      bringUpSeconds,
      acknowledged: counts.reduce((sum, one) => sum + one.acknowledged, 0),
      failed: counts.reduce((sum, one) => sum + one.failed, 0),
      lostOnLeaders: lost.onLeaders,
      lostOnFollowers: lost.onFollowers,
      longestGapMs: Math.max(...counts.map((one) => one.longestGapMs)),
      notEqual,
      leaderForks: sumOfForks(atTheEnd),
      leadersReplaced: forksBetween(atBirth, atTheEnd).notComparable.length,
    };
  } finally {
    await Promise.all([...writers.values()].map((writer) => writer.stop()));
  }
}

/** How often it was seen running. */
async function watchDown(
  fleet: TestFleet,
  database: string,
  { host }: Endpoint,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  let seen = 0;
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until && !signal.aborted) {
    if (fleet.pidOf(database, host) !== null) seen++;
    await pause(100);
  }
  return seen;
}

async function killWorkerDuring(
  fleet: TestFleet,
  runbook: { workflowId: string; runId: string },
): Promise<Story['workerKill']> {
  // In the middle: it owns the database, has chosen a way, and is changing something on a host.
  const during = await waitFor(
    async () => {
      const state = await queryRunbook(fleet.dev.temporal, runbook);
      const at = state.steps.findIndex(({ progress }) => progress.state === 'running');
      const begins = state.steps.findIndex(({ name }) => name === START.name);
      if (state.status === 'done') return state.steps.at(-1)?.name;
      return begins >= 0 && at >= begins ? state.steps[at]?.name : undefined;
    },
    { deadlineMs: 30_000, what: `the middle of ${runbook.workflowId}`, everyMs: 10 },
  );
  return { pid: await fleet.dev.kill('worker'), during };
}

async function endOf(
  fleet: TestFleet,
  name: { workflowId: string; runId: string },
  progress: Progress,
): Promise<{ runbook: RunbookState; result: Pick<Story, 'way' | 'why' | 'rejected'> }> {
  const signal = AbortSignal.any([progress.signal, AbortSignal.timeout(BRING_UP_WITHIN_MS)]);
  const followed = await followRunbook(fleet.dev.temporal, name, { signal });
  const { runbook } = followed;
  if (followed.how !== 'well' || runbook === null)
    throw new FleetError('FollowerUnfit', unwell(name, followed));
  const { way, why, rejected } = followed.result as Pick<Story, 'way' | 'why' | 'rejected'>;
  return { runbook, result: { way, why, rejected } };
}

function unwell(
  { workflowId }: { workflowId: string },
  followed: Awaited<ReturnType<typeof followRunbook>>,
): string {
  switch (followed.how) {
    case 'failed':
      return `${workflowId} failed: ${followed.problem}`;
    case 'waits': {
      const stuck = followed.runbook.steps.find(({ progress }) => 'problem' in progress);
      const problem = stuck && 'problem' in stuck.progress ? `: ${stuck.progress.problem}` : '';
      return `${workflowId} waits for a person${stuck ? ` at "${stuck.name}"` : ''}${problem}`;
    }
    case 'left':
      return `${workflowId} did not end within ${BRING_UP_WITHIN_MS / 1000} s`;
    case 'well':
      return `${workflowId} ended well, and left no state`;
  }
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
