/** What a failure is, in words for the person who has to move the runbook on. */

import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { ErrorKind } from '../../fleet/errors.js';
import { cut, inWords, LONGEST_PROBLEM } from '../../fleet/runbookText.js';

/** Where an activity was sent, and the bounds it had, in milliseconds. */
export interface FailurePlace {
  readonly host: string | null;
  readonly queue: string;
  readonly scheduleToStartMs: number | null;
  readonly scheduleToCloseMs: number;
  readonly startToCloseMs: number;
  readonly heartbeatMs: number | null;
}

export interface Problem {
  /** A sentence; never longer than what survives Temporal's limit for failures. */
  readonly text: string;
  /** An `ErrorKind`, `nobody serves`, `timed out`, or the type of whatever else was thrown. */
  readonly kind: string | null;
  /** It was refused, and trying it again unchanged is pointless. */
  readonly refusal: boolean;
}

type KnownPlace = FailurePlace & { readonly activity: string };

const places = new WeakMap<object, KnownPlace>();

/** Failures do not name their task queue, and those of local activities not even the activity: this does. */
export function rememberPlace(error: unknown, place: FailurePlace, activity: string): void {
  if (typeof error === 'object' && error !== null) places.set(error, { ...place, activity });
}

/** A procedure's own refusal: never tried again by itself. */
export function refusal(kind: ErrorKind, message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(cut(message, LONGEST_PROBLEM), kind);
}

export function problemOf(error: unknown): Problem {
  const { text, kind, refused } = describe(error);
  return {
    text: cut(text.trim() === '' ? 'It failed without a word.' : text, LONGEST_PROBLEM),
    kind,
    refusal: refused,
  };
}

export function failureKind(error: unknown): string | null {
  return describe(error).kind;
}

export function failureMessage(error: unknown): string {
  return problemOf(error).text;
}

/** A more urgent runbook took the database. */
export function isOwnershipLost(error: unknown): boolean {
  return failureKind(error) === ('OwnershipLost' satisfies ErrorKind);
}

interface Description {
  readonly text: string;
  readonly kind: string | null;
  readonly refused: boolean;
}

function describe(error: unknown): Description {
  if (error instanceof ActivityFailure) return describeActivity(error);
  if (error instanceof ChildWorkflowFailure) return describe(error.cause ?? error.message);
  const place = typeof error === 'object' && error !== null ? (places.get(error) ?? null) : null;
  if (error instanceof ApplicationFailure) return describeApplication(error, place);
  if (error instanceof TimeoutFailure) return describeTimeout(place?.activity ?? 'It', error, place);
  if (error instanceof CancelledFailure) {
    return { text: 'It was cancelled from outside.', kind: null, refused: false };
  }
  if (error instanceof Error) {
    return {
      text: `${error.name}: ${error.message} (a fault of the procedure itself)`,
      kind: error.name,
      refused: false,
    };
  }
  return { text: String(error), kind: null, refused: false };
}

function describeActivity(error: ActivityFailure): Description {
  const { activityType, cause } = error;
  if (cause instanceof TimeoutFailure) return describeTimeout(activityType, cause, places.get(error) ?? null);
  if (cause instanceof ApplicationFailure) return describeApplication(cause, places.get(error) ?? null);
  if (cause instanceof CancelledFailure) {
    return { text: `${activityType} was cancelled from outside.`, kind: null, refused: false };
  }
  return { text: `${activityType}: ${cause?.message ?? error.message}`, kind: null, refused: false };
}

/** Whether it was refused is not read from the retry state: local activities have none. */
function describeApplication(failure: ApplicationFailure, place: KnownPlace | null): Description {
  const refused = failure.nonRetryable === true;
  const usedUp =
    place === null || refused
      ? ''
      : ` The retries of ${place.activity} are used up (its time for them is ${inWords(place.scheduleToCloseMs)}).`;
  return { text: `${failure.message}${usedUp}`, kind: failure.type ?? null, refused };
}

function describeTimeout(activity: string, timeout: TimeoutFailure, place: FailurePlace | null): Description {
  const timedOut = (text: string): Description => ({ text, kind: 'timed out', refused: false });
  const who =
    place === null ? 'a worker' : place.host === null ? 'a control worker' : `the agent of ${place.host}`;
  const restart =
    place?.host == null
      ? 'See that a control worker runs (redis-fleet worker), then retry.'
      : `See that its agent runs (redis-fleet agent --host ${place.host}), then retry.`;
  const before = lastWords(timeout);
  switch (timeout.timeoutType) {
    case 'SCHEDULE_TO_START':
      return { text: nobodyServes(activity, place), kind: 'nobody serves', refused: false };
    case 'HEARTBEAT':
      return timedOut(
        `${activity} fell silent on ${who}${within(place?.heartbeatMs)}, and so did its retries: the process that ran it died or hangs.${before} ${restart}`,
      );
    case 'START_TO_CLOSE':
      return timedOut(
        `${activity} began on ${who} and did not end${within(place?.startToCloseMs)}.${before} Find out what holds it up, then retry: it looks before it acts.`,
      );
    case 'SCHEDULE_TO_CLOSE':
      return timedOut(
        `${activity} did not succeed on ${who}${within(place?.scheduleToCloseMs)}.${before} ${restart}`,
      );
    case undefined:
      return timedOut(`${activity} ran out of time (${timeout.message}).${before}`);
  }
}

function nobodyServes(activity: string, place: FailurePlace | null): string {
  if (place === null) return `nobody serves the task queue of ${activity}: start its worker, then retry.`;
  const waited = within(place.scheduleToStartMs);
  if (place.host === null) {
    return `nobody serves ${place.queue}: ${activity} was taken by no worker${waited}; start one: redis-fleet worker, then retry.`;
  }
  return `nobody serves host/${place.host}: ${activity} was taken by no agent${waited} and did not begin; start its agent: redis-fleet agent --host ${place.host}, then retry.`;
}

function within(ms: number | null | undefined): string {
  return ms == null ? '' : ` within ${inWords(ms)}`;
}

/** What the attempt before the timeout said. */
function lastWords(timeout: TimeoutFailure): string {
  const { cause } = timeout;
  return cause instanceof ApplicationFailure ? ` Last failure: ${cause.message}` : '';
}
