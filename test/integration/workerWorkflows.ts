/** The smallest workflows that show what a control worker does. */

import {
  ActivityCancellationType,
  CancellationScope,
  isCancellation,
  proxyActivities,
} from '@temporalio/workflow';
import type { RecordActivities, RequestActivities } from '../../src/activities/contracts.js';

const { acquireForkPermit, releaseForkPermit } = proxyActivities<RecordActivities>({
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: '3 seconds',
  // Only an activity that noticed lets the workflow go on.
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});
const { checkRequest } = proxyActivities<RequestActivities>({ startToCloseTimeout: '10 seconds' });

export async function takePermit({ host, waitMs }: { host: string; waitMs: number }): Promise<string> {
  try {
    await acquireForkPermit({ host, database: 'sessions-00', reason: 'a test', waitMs });
  } catch (error) {
    if (isCancellation(error)) return 'cancelled';
    throw error;
  }
  await CancellationScope.nonCancellable(() => releaseForkPermit({ host }));
  return 'taken';
}

export async function check(request: unknown): Promise<unknown> {
  return await checkRequest({ type: 'bringUpFollower', request });
}
