/** One database's backup, as its runbook and a sweep have in common: one activity, beside its follower. */

import type { BackupOutcome } from '../activities/backupContract.js';
import { onHost } from './engine/activityOptions.js';

/**
 * The agent tries what may pass by itself a few times, and says so when it gives up; most attempts here are for agents
 * that are killed. It hands back what it was at when it starts again: so the heartbeat timeout is only for hosts that
 * are gone, and heartbeats, which cost an action each, are few.
 */
const BOUNDS = {
  startToCloseTimeout: '2 hours',
  scheduleToCloseTimeout: '6 hours',
  heartbeatTimeout: '1 minute',
  retry: { initialInterval: 500, backoffCoefficient: 2, maximumInterval: 15_000, maximumAttempts: 100 },
} as const;

export interface Wanted {
  readonly database: string;
  /** ISO 8601: a backup that was verified and is not older will do. */
  readonly since: string;
  /** What was asked for just before, and goes first. */
  readonly after: string | null;
}

/**
 * A database that changed hosts meanwhile is taken where its follower is now.
 * @throws as `backupHere`, and when nobody serves the host
 */
export async function backUp(host: string, wanted: Wanted): Promise<BackupOutcome> {
  const outcome = await backUpOn(host, wanted);
  const moved = outcome.how === 'skipped' && outcome.follower !== null && outcome.follower !== host;
  return moved ? backUpOn(outcome.follower, { ...wanted, after: null }) : outcome;
}

async function backUpOn(host: string, wanted: Wanted): Promise<BackupOutcome> {
  return onHost(host, `back up ${wanted.database}`, BOUNDS).backupHere({ ...wanted });
}
