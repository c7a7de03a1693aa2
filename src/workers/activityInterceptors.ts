/** What every activity of ours has in common: it heartbeats by itself, and fails in words. */

import { ApplicationFailure, CancelledFailure, CompleteAsyncError } from '@temporalio/activity';
import type { Context } from '@temporalio/activity';
import type { ActivityInboundCallsInterceptor, ActivityInterceptorsFactory } from '@temporalio/worker';
import { FleetError, messageOf } from '../fleet/errors.js';
import { withoutSecrets } from '../connections/redaction.js';

const HEARTBEAT_EVERY_MS = 2_000;
/**
 * Each heartbeat that reaches the server costs an action. An activity that may take hours, and whose agent hands it back
 * when it starts again, is given such a timeout, and beats seldom.
 */
const PATIENT_FROM_MS = 60_000;
const PATIENT_EVERY_MS = 10_000;
/** Of an activity whose worker must be missed soon: several beats within its timeout. */
const BEATS_WITHIN_TIMEOUT = 3;

/**
 * How long the SDK may hold heartbeats back. By default it would be 80 % of the heartbeat timeout: too close to it on
 * a busy machine, and too long for somebody who waits for an abort. A watch is given up after 3 s.
 */
export const HEARTBEAT_THROTTLE = '2s';

/** For control workers and host agents. */
export const activityInterceptors: ActivityInterceptorsFactory = (context) => ({
  inbound: new HeartbeatAndWords(context),
});

class HeartbeatAndWords implements ActivityInboundCallsInterceptor {
  constructor(private readonly context: Context) {}

  execute: NonNullable<ActivityInboundCallsInterceptor['execute']> = async (input, next) => {
    const stop = this.context.info.isLocal ? () => undefined : heartbeatMeanwhile(this.context);
    try {
      return await next(input);
    } catch (error) {
      throw asFailure(error, this.context.cancellationSignal);
    } finally {
      stop();
    }
  };
}

/**
 * Heartbeats until stopped, so that the server soon notices a dead worker and a cancellation soon arrives. It repeats
 * the last details of the activity, of this attempt or of the one before: they are what a later attempt starts from.
 */
function heartbeatMeanwhile(context: Context): () => void {
  let details: unknown = context.info.heartbeatDetails;
  const beat = context.heartbeat;
  const timeoutMs = context.info.heartbeatTimeoutMs ?? Infinity;
  const isPatient = timeoutMs >= PATIENT_FROM_MS && timeoutMs !== Infinity;
  const remembering = (given?: unknown): void => {
    details = given;
    if (!isPatient) beat.call(context, given);
  };
  Object.defineProperty(context, 'heartbeat', { value: remembering, configurable: true });
  const everyMs = isPatient
    ? PATIENT_EVERY_MS
    : Math.min(HEARTBEAT_EVERY_MS, timeoutMs / BEATS_WITHIN_TIMEOUT);
  const timer = setInterval(() => beat.call(context, details), everyMs);
  return () => clearInterval(timer);
}

/** What a workflow gets to see: a kind that it can match, and a sentence without secrets. */
function asFailure(error: unknown, cancellation: AbortSignal): unknown {
  if (error instanceof CompleteAsyncError || error instanceof CancelledFailure) return error;
  if (cancellation.aborted) {
    // Whatever broke, broke because it was told to stop.
    return new CancelledFailure(messageOf(cancellation.reason ?? 'cancelled'));
  }
  if (error instanceof ApplicationFailure) return error;
  if (error instanceof FleetError) {
    const failure = ApplicationFailure.create({
      type: error.kind,
      message: withoutSecrets(error.message),
      nonRetryable: !error.retryable,
    });
    // Foreseen, and said in a sentence: a stack would only hide it.
    failure.stack = '';
    return failure;
  }
  const name = error instanceof Error ? error.name : 'Error';
  const failure = ApplicationFailure.create({
    type: name,
    message: withoutSecrets(messageOf(error)),
    nonRetryable: false,
  });
  // An error that nobody foresaw: where it came from helps whoever repairs it.
  if (error instanceof Error && error.stack !== undefined) failure.stack = withoutSecrets(error.stack);
  return failure;
}
