/** The last part of a move: the new pair proves itself, and only then do the old processes go; their files last. */

import type { ForkBaseline } from '../activities/contracts.js';
import type { ProvenPair } from '../activities/moveContract.js';
import type { HandedOver } from '../activities/switchoverContract.js';
import type { MovePlan } from '../fleet/move.js';
import { showEndpoint } from '../fleet/record.js';
import { control, onHost } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';
import { FORGET, PROVE_PAIR, RECORD_MOVED, REMOVE, REPOINT, STOP } from './moveOutline.js';
import { pointAt } from './movePoint.js';

const FOLLOWED_BY_MS = 20_000;

export async function proveAndLeave(
  runbook: Runbook,
  plan: MovePlan,
  { record: { epoch } }: HandedOver,
  newLeader: ForkBaseline,
): Promise<ProvenPair> {
  const { record, server, follower, leaving, staying } = plan;
  const { database } = record;

  await runbook.step({
    ...REPOINT,
    run: async () => {
      await control(`${follower.host} follows ${newLeader.endpoint.host}`).follow({
        follower,
        leader: newLeader,
        deadlineMs: FOLLOWED_BY_MS,
      });
      // In case that they are needed once more. The new pair does not wait for them.
      const others = [...leaving, ...staying];
      await Promise.all(others.map((one) => pointAt(runbook, newLeader, one)));
    },
  });

  const proven = await runbook.step({
    ...PROVE_PAIR,
    run: () =>
      control(`${database} is at work`).provePair({
        database,
        leader: newLeader,
        follower,
        deadlineMs: FOLLOWED_BY_MS,
      }),
  });
  runbook.note(
    `The new pair is at work: ${showEndpoint(newLeader.endpoint)} took a write, ${showEndpoint(follower)} has it. Forks: ${proven.forks}.`,
  );

  await runbook.step({
    ...RECORD_MOVED,
    run: () =>
      control(`record where ${database} is`).recordMove({
        database,
        epoch,
        server,
        follower,
        extraFollowers: [...staying, ...leaving],
      }),
  });

  await runbook.step({
    ...STOP,
    skip: {
      means: 'The old processes go on running, and hold their memory. `redis-fleet check` names them.',
      value: undefined,
    },
    run: async () => {
      await Promise.all(
        leaving.map(({ host }) =>
          onHost(host, `stop ${database} on ${host}`).stopProcess({ database, save: false }),
        ),
      );
    },
  });

  await runbook.step({
    ...FORGET,
    run: () =>
      control(`forget the old processes of ${database}`).recordMove({
        database,
        epoch,
        server,
        follower,
        extraFollowers: staying,
      }),
  });

  await runbook.step({
    ...REMOVE,
    skip: {
      means: 'The directories of the old processes stay on their hosts. Nobody uses them.',
      value: undefined,
    },
    run: async () => {
      await Promise.all(
        leaving.map(({ host }) =>
          onHost(host, `remove ${database} from ${host}`).removeProcess({ database }),
        ),
      );
    },
  });
  return proven;
}
