/** The hand-over of one database, and what ends one that was broken off. */

import type { HandedOver } from '../activities/switchoverContract.js';
import type { Endpoint } from '../fleet/record.js';
import { local, onHost } from './engine/activityOptions.js';
import { failureKind } from './engine/failures.js';

export interface HandOverOrder {
  readonly database: string;
  /** Before. */
  readonly epoch: number;
  readonly from: Endpoint;
  /** Any follower that the record names. */
  readonly to: Endpoint;
}

export interface Order extends HandOverOrder {
  /** `total_forks` before. */
  readonly forks: { readonly leader: number; readonly follower: number };
}

/** Writes may wait for the next attempt, so it follows soon. */
const CRITICAL = {
  startToCloseTimeout: '15 seconds',
  scheduleToCloseTimeout: '3 minutes',
  retry: { initialInterval: 100, backoffCoefficient: 1.5, maximumInterval: 1_000, maximumAttempts: 64 },
} as const;
/** Milliseconds. */
const OBEY_WITHIN = 500;

/** @throws HandOverUndone, LeaderUnfit, OwnershipLost, RecordChanged: writes go on; anything else: a person must help */
export async function handOverOne({ database, epoch, from, to }: HandOverOrder): Promise<HandedOver> {
  const activities = local(`hand over ${database}`, CRITICAL);
  try {
    return await activities.handOver({ database, epoch, from, to });
  } catch (error) {
    if (failureKind(error) !== 'NotFenced') throw error;
    await fenceNewLeader(database, to);
    return await activities.handOver({ database, epoch, from, to });
  }
}

/** For the undo of the step: it may have ended in any state. */
export async function settleOne({ database, epoch, from, to }: HandOverOrder): Promise<void> {
  const activities = local(`settle ${database}`, CRITICAL);
  try {
    await activities.settleHandOver({ database, epoch, from, to });
  } catch (error) {
    if (failureKind(error) !== 'NotFenced') throw error;
    await fenceNewLeader(database, to);
    await activities.settleHandOver({ database, epoch, from, to });
  }
}

/** It was told to lead and fell silent. Before the old leader may take writes again, it must be certain to take none. */
async function fenceNewLeader(database: string, to: Endpoint): Promise<void> {
  await onHost(to.host, `fence ${database} on ${to.host}`).fenceProcess({
    database,
    endpoint: to,
    obeyWithinMs: OBEY_WITHIN,
  });
}
