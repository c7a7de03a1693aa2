/**
 * The last resort of a host that is full: writes to a leader wait while it forks, and go on as soon as its child has ended.
 * Nothing is copied then, so the fork fits. Asks first. The pause ends by itself, even when every worker dies.
 */

import type { ForkBaseline } from '../activities/contracts.js';
import type { ForkMeanwhile, PausedFork, PausePlan } from '../activities/pauseContract.js';
import { DEFAULT_PAUSE_S, type PauseFork } from '../fleet/pausedFork.js';
import { showSize } from '../fleet/quantities.js';
import { showEndpoint, type DatabaseRecord } from '../fleet/record.js';
import type { PauseWritesRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, local } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import { runRunbook, type Runbook } from './engine/runbook.js';
import { endingPause, forkWhileWritesWait } from './fork.js';
import { CHECK, CLAIM, LOOK, PAUSE, RELEASE } from './pauseWritesOutline.js';

/** What became of one database. */
export interface WritesPaused extends PausedFork {
  readonly database: string;
}

export interface PausedWrites {
  /** What writes were allowed to wait. */
  readonly seconds: number;
  readonly fork: PauseFork;
  readonly databases: readonly WritesPaused[];
}

export async function pauseWrites(input: PauseWritesRequest): Promise<RunbookResult<PausedWrites>> {
  return runRunbook({ title: 'Pause writes' }, async (runbook) => {
    runbook.outline([CHECK, LOOK, CLAIM, PAUSE, RELEASE]);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'pauseWrites', request: input }),
    });
    const { seconds = DEFAULT_PAUSE_S, fork = 'save' } = request;
    const plans = await runbook.step({
      ...LOOK,
      preflight: true,
      run: async () => requireAll(await control('look at the leaders').planPause({ request })),
    });
    const databases = plans.map(({ database }) => database);
    runbook.subject({
      fleet,
      servers: [...new Set(plans.map(({ record }) => record.server))],
      databases,
      hosts: [...new Set(plans.flatMap(({ record }) => hostsOf(record)))],
      ...(request.approved === undefined ? {} : { approved: request.approved }),
    });
    for (const plan of plans) runbook.note(estimate(plan, fork, seconds));

    await runbook.step({
      ...CLAIM,
      preflight: true,
      undo: {
        does: 'Releases the databases.',
        always: true,
        run: () => control('release').releaseDatabases({ databases }),
      },
      run: () => control('claim').claimDatabases({ databases, urgency: 'planned' }),
    });
    runbook.guard(() => local().confirmOwnership({ databases }));

    const paused = await pauseOneAfterTheOther(runbook, plans, fork, seconds);
    for (const one of paused) runbook.note(told(one, seconds));
    await runbook.step({ ...RELEASE, run: () => control('release').releaseDatabases({ databases }) });
    return { seconds, fork, databases: paused };
  });
}

/** Done is done: a second attempt of the step only takes up what is left. */
async function pauseOneAfterTheOther(
  runbook: Runbook,
  plans: readonly PausePlan[],
  fork: PauseFork,
  seconds: number,
): Promise<readonly WritesPaused[]> {
  const done = new Map<string, WritesPaused>();
  await runbook.step({
    ...PAUSE,
    approval: { danger: danger(plans, fork, seconds) },
    undo: {
      does: 'Lets all writes go on, shuts the gates and gives fork permits back.',
      always: true,
      run: async () => {
        for (const { record } of plans) await endingPause(record.leader, record.leader).run();
      },
    },
    run: async () => {
      for (const { database, record } of plans) {
        if (done.has(database)) continue;
        const endpoint = record.leader;
        const { runId, totalForks } = await control(`leader of ${database}`).inspect({ endpoint });
        const leader = { endpoint, runId, totalForks };
        const paused = await forkWhileWritesWait(
          { database, leader, seconds, fork: meanwhile(fork, leader, record) },
          `fork of ${database} while writes wait`,
        );
        done.set(database, { database, ...paused });
      }
    },
  });
  return plans.flatMap(({ database }) => done.get(database) ?? []);
}

function meanwhile(fork: PauseFork, source: ForkBaseline, { follower }: DatabaseRecord): ForkMeanwhile {
  if (fork !== 'follower') return { what: fork };
  if (follower === null) throw refusal('NotFound', 'The record names no follower any more.');
  return { what: fork, source, followers: [follower] };
}

function requireAll(plans: readonly PausePlan[]): readonly PausePlan[] {
  const problems = plans.flatMap(({ problem }) => problem ?? []);
  if (problems.length > 0) throw refusal('NoSafeWay', `${problems.join(' ')} No writes were paused.`);
  return plans;
}

function hostsOf({ leader, follower }: DatabaseRecord): string[] {
  return follower === null ? [leader.host] : [leader.host, follower.host];
}

function estimate(
  { database, usedMemory, seconds: needed }: PausePlan,
  fork: PauseFork,
  seconds: number,
): string {
  if (fork === 'nothing') return `Writes to ${database} will wait for ${seconds} s.`;
  return (
    `A fork of ${database}, with ${showSize(usedMemory)}, may take ${needed} s; its writes will wait until that has ended, ` +
    `and for ${seconds} s at most.`
  );
}

function danger(plans: readonly PausePlan[], fork: PauseFork, seconds: number): string {
  const which = plans
    .map(({ database, record }) => `${database} on ${showEndpoint(record.leader)}`)
    .join(', ');
  const each = plans.length > 1 ? ' each, one after the other' : '';
  if (fork === 'nothing') return `Writes to ${which} will wait for ${seconds} s${each}. Reads are served.`;
  return (
    `Writes to ${which} will wait while the leader forks, for ${seconds} s at most${each}. Reads are served. ` +
    'A fork that takes longer is called off where memory would not bear it.'
  );
}

function told({ database, pausedMs, forkMs, copyOnWrite, outlasted }: WritesPaused, seconds: number): string {
  const waited = pausedMs === null ? `for at most ${seconds} s` : `for ${pausedMs.toFixed(0)} ms`;
  const forked =
    copyOnWrite === null
      ? 'Nobody forked.'
      : `The fork${forkMs === null ? '' : ` took ${forkMs.toFixed(0)} ms and`} cost ${showSize(copyOnWrite)} of copied memory.`;
  return `Writes to ${database} waited ${waited}. ${forked}${outlasted ? ' It outlived the pause, which memory allowed.' : ''}`;
}
