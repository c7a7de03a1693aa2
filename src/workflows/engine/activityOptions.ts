/**
 * How workflows call activities: nothing retries for ever, and nothing waits for ever for a host that is gone.
 * The bounds ride out some minutes without Consul; after that the runbook is stuck and says so.
 */

import {
  proxyActivities,
  proxyLocalActivities,
  type ActivityInterfaceFor,
  type LocalActivityInterfaceFor,
  type RetryPolicy,
} from '@temporalio/workflow';
import { msToNumber } from '@temporalio/common/lib/time.js';
import type { ControlActivities, HostActivities } from '../../activities/contracts.js';
import { CONTROL_QUEUE, hostQueue } from '../../fleet/names.js';
import { cut } from '../../fleet/runbookText.js';
import { followed } from './inFlight.js';

/** Milliseconds, or in words. */
export type Duration = number | `${number} ${'seconds' | 'minute' | 'minutes' | 'hour' | 'hours'}`;

export interface Bounds {
  /** Of one attempt. */
  readonly startToCloseTimeout?: Duration;
  /** Of all attempts together. */
  readonly scheduleToCloseTimeout?: Duration;
  /** How long nobody may take it. */
  readonly scheduleToStartTimeout?: Duration;
  readonly heartbeatTimeout?: Duration;
  readonly retry?: RetryPolicy;
}

/** Copying and loading take as long as the data is large. */
export const FOR_DATA: Bounds = { startToCloseTimeout: '2 hours', scheduleToCloseTimeout: '6 hours' };

const MINUTE_MS = 60_000;
const RETRY = { initialInterval: 500, backoffCoefficient: 2, maximumInterval: 10_000 } as const;
/** Every activity is heartbeated by its worker, so this is how soon the death of a worker is noticed. */
const HEARTBEAT_MS = 10_000;
const AGENT_TAKES_WITHIN_MS = 30_000;
/** Said, because the SDK's real default is not to wait: an undo would run beside the activity it undoes. */
const CANCELLATION = 'WAIT_CANCELLATION_COMPLETED';

/** Activities that need only the network, on the control queue. `summary` is what the Temporal UI shows. */
export function control(summary: string, overrides: Bounds = {}): ActivityInterfaceFor<ControlActivities> {
  return calls<ControlActivities>(null, CONTROL_QUEUE, summary, overrides);
}

/** Activities that must run beside Redis, on a host's own queue. */
export function onHost(
  host: string,
  summary: string,
  overrides: Bounds = {},
): ActivityInterfaceFor<HostActivities> {
  return calls<HostActivities>(host, hostQueue(host), summary, {
    scheduleToStartTimeout: AGENT_TAKES_WITHIN_MS,
    ...overrides,
  });
}

/** Short activities inside the workflow task: no round trip, no heartbeat. For what takes milliseconds. */
export function local(
  summary?: string,
  overrides: Pick<Bounds, 'startToCloseTimeout' | 'scheduleToCloseTimeout' | 'retry'> = {},
): LocalActivityInterfaceFor<ControlActivities> {
  const bounds = { startToCloseTimeout: 10_000, scheduleToCloseTimeout: 10 * MINUTE_MS, ...overrides };
  const activities = proxyLocalActivities<ControlActivities>({
    // Its attempts are counted as well: a worker measures the time, and a worker may be replaced.
    retry: { ...RETRY, maximumAttempts: 64 },
    cancellationType: CANCELLATION,
    // Longer waits become timers of the server: control messages are not heard while a workflow task lasts.
    localRetryThreshold: 1000,
    ...(summary === undefined ? {} : { summary: cut(summary, 200) }),
    ...bounds,
  });
  return followed(activities, {
    host: null,
    queue: CONTROL_QUEUE,
    scheduleToStartMs: null,
    scheduleToCloseMs: msToNumber(bounds.scheduleToCloseTimeout),
    startToCloseMs: msToNumber(bounds.startToCloseTimeout),
    heartbeatMs: null,
  });
}

function calls<A extends object>(
  host: string | null,
  taskQueue: string,
  summary: string,
  overrides: Bounds,
): ActivityInterfaceFor<A> {
  const startToCloseMs = msToNumber(overrides.startToCloseTimeout ?? MINUTE_MS);
  // Time for one attempt that is killed near its end, for another, and for an outage.
  const scheduleToCloseMs = msToNumber(
    overrides.scheduleToCloseTimeout ?? 2 * startToCloseMs + 8 * MINUTE_MS,
  );
  const heartbeatMs = msToNumber(overrides.heartbeatTimeout ?? HEARTBEAT_MS);
  const { scheduleToStartTimeout } = overrides;
  const scheduleToStartMs = scheduleToStartTimeout === undefined ? null : msToNumber(scheduleToStartTimeout);
  const activities = proxyActivities<A>({
    taskQueue,
    summary: cut(summary, 200),
    retry: overrides.retry ?? RETRY,
    cancellationType: CANCELLATION,
    startToCloseTimeout: startToCloseMs,
    scheduleToCloseTimeout: scheduleToCloseMs,
    heartbeatTimeout: heartbeatMs,
    ...(scheduleToStartMs === null ? {} : { scheduleToStartTimeout: scheduleToStartMs }),
  });
  return followed(activities, {
    host,
    queue: taskQueue,
    scheduleToStartMs,
    scheduleToCloseMs,
    startToCloseMs,
    heartbeatMs,
  });
}
