/** The first half of a move: the new processes get the data and follow the leader. All of it can be undone. */

import type { ForkBaseline } from '../activities/contracts.js';
import type { MovePlan } from '../fleet/move.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { MoveDatabaseRequest } from '../fleet/requests.js';
import { loaded } from './bringUpStart.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';
import { givingBackForkRights, synchroniseUnderPermit } from './fork.js';
import type { MoveSight } from './moveLook.js';
import { COPY, EQUAL_OFFSETS, FOLLOW, PROVE_FORKS, RECORD_NEW, START, WIDEN } from './moveOutline.js';
import { widenBacklog } from './widenBacklog.js';

const HOUR_MS = 3_600_000;
/** Less than an attempt of the activities may take. */
const COPIED_WITHIN_MS = 6_600_000;
const FOLLOW_DEADLINE_MS = 30_000;

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

export async function receive(
  runbook: Runbook,
  { plan, sight, leader, request, state }: Receiving,
): Promise<void> {
  const { record, newcomers } = plan;
  const { database, follower } = record;
  if (newcomers.length === 0) return;
  const source: ForkBaseline = {
    endpoint: follower,
    runId: sight.follower.runId,
    totalForks: sight.follower.totalForks,
  };

  await widenBacklog(runbook, WIDEN, {
    leader: leader.endpoint,
    before: sight.leader.backlog.size,
    bytes: sight.backlogBytes,
  });

  await runbook.step({
    ...START,
    undo: {
      does: 'Stops the new processes and removes their directories, where the record does not name them.',
      // Whoever takes the database knows those that the record names, and no others.
      always: true,
      run: () => removeUnknown(database, newcomers),
    },
    run: () => startAll(plan),
  });

  const givingBack = givingBackForkRights(follower);
  await runbook.step({
    ...COPY,
    undo: {
      ...givingBack,
      run: async () => {
        if (state.copying) await givingBack.run();
      },
    },
    run: async () => {
      state.copying = true;
      // One that ended on the way is started again.
      await startAll(plan);
      await synchroniseUnderPermit({
        source,
        followers: newcomers,
        database,
        reason: `move to ${newcomers.map(({ host }) => host).join(' and ')}`,
        // Others that leave the same host copy from the same follower's host, one after the other.
        waitMs: HOUR_MS,
        // A child that is slowed down lives longer than those that were observed.
        forkShare: request.bandwidth === undefined ? sight.forkShare : 1,
        patient: true,
        deadlineMs: COPIED_WITHIN_MS,
        ...pacedBy(request, follower, newcomers),
      });
      state.copying = false;
      await Promise.all(newcomers.map((one) => caughtUp(database, source, one)));
    },
  });

  await runbook.step({
    ...FOLLOW,
    undo: {
      does: 'Lets the new processes go: they follow nobody.',
      run: async () => {
        if (state.handedOver) return;
        await Promise.all(newcomers.map((one) => control(`let go of ${one.host}`).detach({ follower: one })));
      },
    },
    run: async () => {
      await Promise.all(
        newcomers.map((one) =>
          control(`${one.host} follows the leader`).follow({
            follower: one,
            leader,
            deadlineMs: FOLLOW_DEADLINE_MS,
          }),
        ),
      );
    },
  });

  await runbook.step({
    ...EQUAL_OFFSETS,
    run: async () => {
      await Promise.all(newcomers.map((one) => caughtUp(database, leader, one)));
    },
  });

  const { forks, totalForks } = await runbook.step({
    ...PROVE_FORKS,
    run: () => control(`forks of ${database}`).proveForks({ baseline: leader, allowed: 0 }),
  });
  runbook.note(
    `The new processes have their data from ${showEndpoint(follower)}. Forks of the leader so far: ${forks} (its total_forks is ${totalForks}).`,
  );

  await runbook.step({
    ...RECORD_NEW,
    undo: {
      does: 'Puts the followers back that the record had before.',
      run: async () => {
        if (state.handedOver) return;
        await control(`restore the record of ${database}`).restoreFollowers({
          database,
          epoch: record.epoch,
          follower,
          extraFollowers: record.extraFollowers ?? [],
        });
      },
    },
    run: async () => {
      for (const one of newcomers) {
        await control(`record ${one.host}`).setFollower({
          database,
          epoch: record.epoch,
          follower: one,
          role: 'extra',
        });
      }
    },
  });
}

async function startAll({ record: { database }, newcomers, process }: MovePlan): Promise<void> {
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

async function removeUnknown(database: string, newcomers: readonly Endpoint[]): Promise<void> {
  const [record] = await control('read the record').readRecords({ databases: [database] });
  const known = record == null ? [] : [record.leader, record.follower, ...(record.extraFollowers ?? [])];
  const unknown = newcomers.filter((one) => !known.some((other) => other?.host === one.host));
  await Promise.all(
    unknown.map(async ({ host }) => {
      await onHost(host, `stop ${database} on ${host}`).stopProcess({ database, save: false });
      await onHost(host, `remove ${database} from ${host}`).removeProcess({ database });
    }),
  );
}

async function caughtUp(database: string, leader: ForkBaseline, follower: Endpoint): Promise<void> {
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
): { readonly paced?: () => Promise<void> } {
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
