/** Pointing a follower at the new leader that is not waited for: the old pair, and whoever stays. */

import type { ForkBaseline } from '../activities/contracts.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { control } from './engine/activityOptions.js';
import { failureMessage } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';

const FOLLOWED_BY_MS = 20_000;
/** A host that is gone holds nobody up for long. */
const BRIEFLY = {
  scheduleToCloseTimeout: 2 * FOLLOWED_BY_MS,
  retry: { initialInterval: 500, maximumAttempts: 3 },
} as const;

export async function pointAt(runbook: Runbook, leader: ForkBaseline, follower: Endpoint): Promise<void> {
  const { host } = leader.endpoint;
  try {
    await control(`point ${follower.host} at ${host}`, BRIEFLY).follow({
      follower,
      leader,
      deadlineMs: FOLLOWED_BY_MS,
    });
  } catch (error) {
    runbook.note(
      `${showEndpoint(follower)} does not follow the new leader on ${host}: ${failureMessage(error)}`,
    );
  }
}
