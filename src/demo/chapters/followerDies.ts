/** A follower dies, its leader does not notice, and it comes back although the worker dies as well. */

import { queryRunbook } from '../../cli/runbookState.js';
import { startRunbook } from '../../connections/startRunbook.js';
import { FleetError } from '../../fleet/errors.js';
import type { Endpoint } from '../../fleet/record.js';
import type { RunbookState } from '../../fleet/runbook.js';
import type { TestFleet } from '../../testbed/fleet.js';
import { forksBetween, leaderForks } from '../../testbed/forks.js';
import { pause, waitFor } from '../../testbed/waiting.js';
import { START } from '../../workflows/bringUpOutline.js';
import type { Progress } from '../progress.js';
import { endsWell } from '../runbooks.js';

export interface FollowerDied {
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
}

type Choice = Pick<FollowerDied, 'way' | 'why' | 'rejected'>;

/** @param watchSeconds how long the dead follower is watched */
export async function followerDies(
  fleet: TestFleet,
  database: string,
  watchSeconds: number,
  progress: Progress,
): Promise<FollowerDied> {
  const leader = await fleet.leader(database);
  const follower = await fleet.follower(database);
  await progress.step(
    `save ${database} on its follower, as the hourly backup does: the fork is there, not on the leader`,
    () => fleet.save(database, follower),
  );
  const beforeDeath = await leaderForks(fleet);
  const pid = await progress.step(`kill the follower of ${database} on ${follower.host} with kill -9`, () =>
    killProcess(fleet, database, follower),
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
    () => endsWell(fleet, runbookName, progress),
  );
  const { way, why, rejected } = result as Choice;
  return {
    victim: { database, follower, pid },
    watchedSeconds: watchSeconds,
    startedByItself,
    forksWhileDown: whileDown.forks,
    runbook,
    way,
    why,
    rejected,
    workerKill,
    bringUpSeconds: (performance.now() - begun) / 1000,
  };
}

/** kill -9. Returns the pid once it is gone. */
export async function killProcess(fleet: TestFleet, database: string, { host }: Endpoint): Promise<number> {
  const victim = fleet.pidOf(database, host);
  if (victim === null) throw new FleetError('NotFound', `${database} does not run on ${host}.`);
  process.kill(victim, 'SIGKILL');
  await waitFor(() => fleet.pidOf(database, host) === null, {
    deadlineMs: 5000,
    what: `the end of process ${victim}`,
    everyMs: 5,
  });
  return victim;
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
): Promise<FollowerDied['workerKill']> {
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
