/**
 * How the new processes of a move get the data: by one fork of the follower. Where that fits only while the leader's writes
 * wait, it asks for that, by the step's name.
 */

import type { ForkBaseline } from '../activities/contracts.js';
import type { PausedFork } from '../activities/pauseContract.js';
import type { MovePlan } from '../fleet/move.js';
import { pauseFor, type ForkVerdict } from '../fleet/pausedFork.js';
import { showSize } from '../fleet/quantities.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { MoveDatabaseRequest } from '../fleet/requests.js';
import { loaded } from './bringUpStart.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';
import {
  doesNotFit,
  endingPause,
  forkWhileWritesWait,
  givingBackForkRights,
  synchroniseWhereItFits,
  waitedFor,
  type PermittedFork,
} from './fork.js';
import type { MoveSight } from './moveLook.js';
import { COPY, COPY_IN_PAUSE, WITH_PAUSE } from './moveOutline.js';

const HOUR_MS = 3_600_000;
/** Less than an attempt of the activities may take. */
const COPIED_WITHIN_MS = 6_600_000;

/** What an undo has to know of the steps that came after its own. */
export interface MoveState {
  copying: boolean;
  /** There is no way back: what was brought up leads, or follows. */
  handedOver: boolean;
}

export interface Receiving {
  readonly plan: MovePlan;
  readonly sight: MoveSight;
  readonly leader: ForkBaseline;
  readonly request: MoveDatabaseRequest;
  readonly state: MoveState;
}

/** The copy was made while writes waited, for `seconds` at most. */
export interface CopiedInPause extends PausedFork {
  readonly seconds: number;
}

type Shortage = Exclude<ForkVerdict, { readonly fits: true }>;

/** @returns what writes waited for; null: they did not */
export async function copyFromFollower(
  runbook: Runbook,
  receiving: Receiving,
): Promise<CopiedInPause | null> {
  const { plan, request, state } = receiving;
  const { follower } = plan.record;
  const allowed = request.pauseWrites?.seconds;
  const givingBack = givingBackForkRights(follower);
  const verdict = await runbook.step({
    ...COPY,
    undo: {
      ...givingBack,
      run: async () => {
        if (state.copying) await givingBack.run();
      },
    },
    run: async () => {
      const found = await copyWhereItFits(receiving);
      if (!found.fits && pauseFor(found, allowed) === null) throw doesNotFit(follower, found);
      return found;
    },
  });
  const seconds = pauseFor(verdict, allowed);
  if (verdict.fits || seconds === null) return null;
  return copyWhileWritesWait(runbook, receiving, verdict, seconds);
}

async function copyWhileWritesWait(
  runbook: Runbook,
  receiving: Receiving,
  shortage: Shortage,
  seconds: number,
): Promise<CopiedInPause | null> {
  const { plan, leader, state } = receiving;
  const { database, follower } = plan.record;
  const source = sourceOf(receiving);
  const ending = endingPause(leader.endpoint, follower);
  runbook.outline(WITH_PAUSE);
  const paused = await runbook.step({
    ...COPY_IN_PAUSE,
    approval: { danger: dangerOf(plan, shortage, seconds) },
    undo: {
      ...ending,
      run: async () => {
        if (state.copying) await ending.run();
      },
    },
    run: async () => {
      // Room may have been made since: then no write waits.
      if ((await copyWhereItFits(receiving)).fits) return null;
      state.copying = true;
      const done = await forkWhileWritesWait(
        { database, leader, seconds, fork: { what: 'follower', source, followers: plan.newcomers } },
        reasonOf(plan),
        HOUR_MS,
      );
      state.copying = false;
      await allCaughtUp(plan, source);
      return { ...done, seconds };
    },
  });
  runbook.note(
    paused === null
      ? 'The fork of the follower did fit: no writes waited for it.'
      : waitedFor(paused, seconds),
  );
  return paused;
}

async function copyWhereItFits(receiving: Receiving): Promise<ForkVerdict> {
  const { plan, sight, request, state } = receiving;
  const source = sourceOf(receiving);
  state.copying = true;
  // One that ended on the way is started again.
  await startAll(plan);
  const verdict = await synchroniseWhereItFits({
    source,
    followers: plan.newcomers,
    database: plan.record.database,
    reason: reasonOf(plan),
    // Others that leave the same host copy from the same follower's host, one after the other.
    waitMs: HOUR_MS,
    // A child that is slowed down lives longer than those that were observed.
    forkShare: request.bandwidth === undefined ? sight.forkShare : 1,
    patient: true,
    deadlineMs: COPIED_WITHIN_MS,
    ...pacedBy(request, plan.record.follower, plan.newcomers),
  });
  state.copying = false;
  if (verdict.fits) await allCaughtUp(plan, source);
  return verdict;
}

function sourceOf({ plan: { record }, sight: { follower } }: Receiving): ForkBaseline {
  return { endpoint: record.follower, runId: follower.runId, totalForks: follower.totalForks };
}

function reasonOf({ newcomers }: MovePlan): string {
  return `move to ${newcomers.map(({ host }) => host).join(' and ')}`;
}

function dangerOf(
  { record: { database, leader, follower } }: MovePlan,
  { needed, short, seconds: likely }: Shortage,
  seconds: number,
): string {
  return (
    `A fork of ${showEndpoint(follower)} could need ${showSize(needed)}, and its host is ${showSize(short)} short of that. While writes wait it ` +
    `needs next to nothing: writes to ${database} on ${leader.host} will wait while its follower forks, for ${seconds} s at most (it may take ` +
    `${likely} s). Reads are served. A fork that takes longer is called off where memory would not bear it. If it fits by then, no writes wait.`
  );
}

export async function startAll({ record: { database }, newcomers, process }: MovePlan): Promise<void> {
  await Promise.all(
    newcomers.map(async (one) => {
      await onHost(one.host, `start ${database} on ${one.host}`, FOR_DATA).startProcess({
        process: { ...process, port: one.port },
        allowEmpty: true,
      });
      await loaded(database, one);
    }),
  );
}

async function allCaughtUp(
  { record: { database }, newcomers }: MovePlan,
  leader: ForkBaseline,
): Promise<void> {
  await Promise.all(newcomers.map((one) => caughtUp(database, leader, one)));
}

export async function caughtUp(database: string, leader: ForkBaseline, follower: Endpoint): Promise<void> {
  await control(`${database} on ${follower.host} catches up`, FOR_DATA).awaitCaughtUp({
    leader,
    follower,
    deadlineMs: HOUR_MS,
  });
}

/** Redis itself has no limit: each agent passes its share on to its new process. */
function pacedBy(
  { bandwidth }: MoveDatabaseRequest,
  source: Endpoint,
  newcomers: readonly Endpoint[],
): Pick<PermittedFork, 'paced'> {
  if (bandwidth === undefined) return {};
  const bytesPerSecond = Math.floor(bandwidth / newcomers.length);
  return {
    paced: async () => {
      await Promise.all(
        newcomers.map((follower) =>
          onHost(follower.host, `copy to ${follower.host}`, FOR_DATA).followPaced({
            follower,
            source,
            bytesPerSecond,
            deadlineMs: COPIED_WITHIN_MS,
          }),
        ),
      );
    },
  };
}
