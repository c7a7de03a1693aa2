/** The middle of a move: writes wait for some milliseconds and go on at the new leader. From its end there is no way back. */

import { sleep } from '@temporalio/workflow';
import type { ForkBaseline } from '../activities/contracts.js';
import type { HandedOver } from '../activities/switchoverContract.js';
import type { MovePlan } from '../fleet/move.js';
import { sameEndpoint, showEndpoint } from '../fleet/record.js';
import type { MoveDatabaseRequest } from '../fleet/requests.js';
import { control, FOR_DATA } from './engine/activityOptions.js';
import { failureKind, failureMessage } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';
import { HAND_OVER, LET_GO } from './moveOutline.js';
import { pointAt } from './movePoint.js';
import type { MoveState } from './moveCopy.js';
import { handOverOne, settleOne, type HandOverOrder } from './switchoverOne.js';

/** A burst of writes, or a stall of the network: writes went on at the old leader, so another time does no harm. */
const TRIES = 5;
const TRY_AGAIN_AFTER_MS = 2_000;
const CAUGHT_UP_WITHIN_MS = 600_000;

export interface HandingOver {
  readonly plan: MovePlan;
  readonly oldLeader: ForkBaseline;
  readonly request: MoveDatabaseRequest;
  readonly state: MoveState;
}

export interface NewLeader {
  readonly handedOver: HandedOver;
  readonly newLeader: ForkBaseline;
}

export async function handOverToNewPair(
  runbook: Runbook,
  { plan, oldLeader, request: { ask }, state }: HandingOver,
): Promise<NewLeader> {
  const { record, leader: to } = plan;
  const { database, leader: from } = record;
  const order: HandOverOrder = { database, epoch: record.epoch, from, to };

  const { handedOver, newLeader } = await runbook.step({
    ...HAND_OVER,
    settles: true,
    ...(ask === true
      ? {
          approval: {
            danger: `Writes to ${database} wait for some milliseconds; then ${showEndpoint(to)} leads, and there is no way back but another move.`,
          },
        }
      : {}),
    undo: {
      does: 'Finishes the hand-over where the new leader leads already, and gives writes back to the old one where nobody does.',
      run: async () => {
        await settleOne(order);
        state.handedOver = await isHandedOver(order);
        if (state.handedOver) await keepFollowing(runbook, plan);
      },
    },
    run: async (): Promise<NewLeader> => {
      const { runId, totalForks } = await control(`look at ${to.host}`).inspect({ endpoint: to });
      const handed = await handOverPatiently(runbook, order, oldLeader);
      return { handedOver: handed, newLeader: { endpoint: to, runId, totalForks } };
    },
  });
  state.handedOver = true;
  const { pausedMs } = handedOver;
  const paused = pausedMs === null ? '' : ` Writes waited for ${pausedMs.toFixed(1)} ms.`;
  runbook.note(`${from.host} → ${to.host}, epoch ${handedOver.record.epoch}.${paused}`);

  await runbook.step({
    ...LET_GO,
    run: async () => {
      try {
        const bounds = { scheduleToCloseTimeout: '20 seconds' } as const;
        await control(`clients of ${database}`, bounds).letGoOfClients({ endpoint: from });
      } catch (error) {
        // They read READONLY and go by themselves.
        runbook.note(`The connections to ${from.host} were not closed: ${failureMessage(error)}`);
      }
    },
  });
  return { handedOver, newLeader };
}

async function handOverPatiently(
  runbook: Runbook,
  order: HandOverOrder,
  oldLeader: ForkBaseline,
): Promise<HandedOver> {
  const { database, to } = order;
  for (let left = TRIES; ; left--) {
    try {
      return await handOverOne(order);
    } catch (error) {
      if (failureKind(error) !== 'HandOverUndone' || left <= 1) throw error;
      runbook.note(`It is tried again: ${failureMessage(error)}`);
    }
    await sleep(TRY_AGAIN_AFTER_MS);
    await control(`${database} catches up`, FOR_DATA).awaitCaughtUp({
      leader: oldLeader,
      follower: to,
      deadlineMs: CAUGHT_UP_WITHIN_MS,
    });
  }
}

async function isHandedOver({ database, epoch, to }: HandOverOrder): Promise<boolean> {
  const [record] = await control('read the record').readRecords({ databases: [database] });
  return record != null && record.epoch === epoch + 1 && sameEndpoint(record.leader, to);
}

/** An abort that came too late: whoever followed the old leader follows the new one, as after a switchover. */
async function keepFollowing(
  runbook: Runbook,
  { leader: to, record, follower, staying }: MovePlan,
): Promise<void> {
  const { runId, totalForks } = await control(`look at ${to.host}`).inspect({ endpoint: to });
  const newLeader: ForkBaseline = { endpoint: to, runId, totalForks };
  for (const one of [record.leader, record.follower, follower, ...staying]) {
    if (sameEndpoint(one, to)) continue;
    await pointAt(runbook, newLeader, one);
  }
}
