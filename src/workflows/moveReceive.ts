/** The first half of a move: the new processes get the data and follow the leader. All of it can be undone. */

import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { control, onHost } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';
import { caughtUp, copyFromFollower, startAll, type CopiedInPause, type Receiving } from './moveCopy.js';
import { EQUAL_OFFSETS, FOLLOW, PROVE_FORKS, RECORD_NEW, START, WIDEN } from './moveOutline.js';
import { widenBacklog } from './widenBacklog.js';

const FOLLOW_DEADLINE_MS = 30_000;

/** @returns what writes waited for; null: they did not */
export async function receive(
  runbook: Runbook,
  { plan, sight, leader, request, state }: Receiving,
): Promise<CopiedInPause | null> {
  const { record, newcomers } = plan;
  const { database, follower } = record;
  if (newcomers.length === 0) return null;

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

  const copied = await copyFromFollower(runbook, { plan, sight, leader, request, state });

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
  return copied;
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
