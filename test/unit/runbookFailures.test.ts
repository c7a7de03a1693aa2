import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TimeoutFailure,
  type TimeoutType,
} from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { isOwnershipLost, problemOf, refusal, rememberPlace } from '../../src/workflows/engine/failures.js';

const HOST = {
  host: 'redis-01-b',
  queue: 'host/redis-01-b',
  scheduleToStartMs: 30_000,
  scheduleToCloseMs: 600_000,
  startToCloseMs: 60_000,
  heartbeatMs: 10_000,
};
const CONTROL = { ...HOST, host: null, queue: 'redis-fleet', scheduleToStartMs: null };

function activity(
  cause: Error,
  retryState: 'TIMEOUT' | 'NON_RETRYABLE_FAILURE' = 'TIMEOUT',
): ActivityFailure {
  return new ActivityFailure('failed', 'startProcess', '1', retryState, 'agent', cause);
}

function timeout(type: TimeoutType, place = HOST, last?: Error): string {
  const failure = new TimeoutFailure('timeout', undefined, type);
  if (last !== undefined) Object.assign(failure, { cause: last });
  const error = activity(failure);
  rememberPlace(error, place, 'startProcess');
  return problemOf(error).text;
}

describe('a timeout says what happened, where, and what to do', () => {
  test('nobody took it', () => {
    expect(timeout('SCHEDULE_TO_START')).toBe(
      'nobody serves host/redis-01-b: startProcess was taken by no agent within 30 s and did not begin; ' +
        'start its agent: redis-fleet agent --host redis-01-b, then retry.',
    );
  });

  test('the process that ran it died', () => {
    expect(timeout('HEARTBEAT')).toBe(
      'startProcess fell silent on the agent of redis-01-b within 10 s, and so did its retries: the process that ran it ' +
        'died or hangs. See that its agent runs (redis-fleet agent --host redis-01-b), then retry.',
    );
    expect(timeout('HEARTBEAT', CONTROL as never)).toContain('a control worker');
  });

  test('it took too long', () => {
    expect(timeout('START_TO_CLOSE')).toContain('did not end within 60 s');
  });

  test('all retries together took too long; the last failure is told', () => {
    const last = ApplicationFailure.retryable('Redis at 127.0.1.1:6303 refuses.', 'Unreachable');
    expect(timeout('SCHEDULE_TO_CLOSE', HOST, last)).toBe(
      'startProcess did not succeed on the agent of redis-01-b within 10 min. Last failure: Redis at 127.0.1.1:6303 ' +
        'refuses. See that its agent runs (redis-fleet agent --host redis-01-b), then retry.',
    );
  });
});

describe('a failure', () => {
  test('that was refused keeps its words and its kind', () => {
    const error = activity(
      ApplicationFailure.nonRetryable('Port 6303 is in use.', 'PortInUse'),
      'NON_RETRYABLE_FAILURE',
    );
    expect(problemOf(error)).toEqual({ text: 'Port 6303 is in use.', kind: 'PortInUse', refusal: true });
  });

  test('of a procedure itself is a refusal as well', () => {
    expect(problemOf(refusal('NoHeadroom', 'No room.'))).toEqual({
      text: 'No room.',
      kind: 'NoHeadroom',
      refusal: true,
    });
  });

  test('of code is no refusal, so that it can be tried again by repaired code', () => {
    expect(problemOf(new TypeError('x is not a function'))).toMatchObject({
      kind: 'TypeError',
      refusal: false,
    });
  });

  test('that is long is cut, so that what is recorded with it survives', () => {
    const error = activity(ApplicationFailure.nonRetryable('x'.repeat(10_000), 'DiskFull'));
    expect(problemOf(error).text.length).toBeLessThanOrEqual(1200);
  });

  test('of an activity that somebody cancelled is told as that', () => {
    expect(problemOf(activity(new CancelledFailure('cancelled'))).text).toBe(
      'startProcess was cancelled from outside.',
    );
  });

  test('of lost ownership is recognised inside an activity failure only by its kind', () => {
    expect(isOwnershipLost(activity(ApplicationFailure.nonRetryable('x', 'OwnershipLost')))).toBe(true);
    expect(isOwnershipLost(activity(ApplicationFailure.nonRetryable('OwnershipLost', 'NotFound')))).toBe(
      false,
    );
  });
});
