import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CONTROL_MESSAGES,
  type ControlMessage,
  type RunbookState,
  type RunbookStatus,
  type StepProgress,
} from '../../src/fleet/runbook.js';
import {
  acceptedMessages,
  nextMove,
  progressAfter,
  readControlArgument,
  refusal,
} from '../../src/fleet/runbookMoves.js';

const DECISION = { by: 'ann', reason: 'why not', step: 'third', at: '2025-01-01T00:00:00.000Z' } as const;

const idle: fc.Arbitrary<StepProgress> = fc.constantFrom<StepProgress>(
  { state: 'pending' },
  { state: 'done' },
  { state: 'undone' },
  { state: 'skipped', by: 'ann', reason: 'x' },
  { state: 'stopped', why: 'x' },
  { state: 'not undone', why: 'x' },
);
const skip = fc.option(fc.constant('The furniture stays.'));
const waits: fc.Arbitrary<{ status: RunbookStatus; progress: StepProgress }> = fc.oneof(
  skip.map((means) => ({
    status: 'waiting' as const,
    progress: { state: 'waiting for approval' as const, danger: 'It burns.', skip: means },
  })),
  skip.map((means) => ({
    status: 'stuck' as const,
    progress: { state: 'stuck' as const, attempt: 1, problem: 'No room.', kind: 'NoHeadroom', skip: means },
  })),
  fc.constant({ status: 'stuck' as const, progress: { state: 'undo stuck' as const, problem: 'Glued.' } }),
);
const works: fc.Arbitrary<{ status: RunbookStatus; progress: StepProgress }> = fc.constantFrom(
  { status: 'running' as const, progress: { state: 'running' as const, attempt: 1 } },
  { status: 'aborting' as const, progress: { state: 'undoing' as const } },
  { status: 'aborting' as const, progress: { state: 'running' as const, attempt: 1 } },
  { status: 'done' as const, progress: { state: 'done' as const } },
);

/** Situations as the engine makes them: one step at most is busy or waits. */
const situations = fc
  .tuple(fc.array(idle, { maxLength: 4 }), fc.oneof(waits, works), fc.array(idle, { maxLength: 4 }))
  .map(([before, now, after]) => situation(now.status, [...before, now.progress, ...after]));

function situation(
  status: RunbookStatus,
  progress: readonly StepProgress[],
): Pick<RunbookState, 'status' | 'steps'> {
  return {
    status,
    steps: progress.map((each, index) => ({
      name: `step ${index}`,
      does: 'Does it.',
      progress: each,
      since: null,
      startedAt: null,
      seconds: null,
    })),
  };
}

function stuck(means: string | null): Pick<RunbookState, 'status' | 'steps'> {
  return situation('stuck', [
    { state: 'done' },
    { state: 'stuck', attempt: 2, problem: 'Port 6303 is in use.', kind: 'PortInUse', skip: means },
    { state: 'pending' },
  ]);
}

describe('every situation', () => {
  test('a message is refused exactly when it is not accepted, and the refusal names each one that would be', () => {
    fc.assert(
      fc.property(situations, fc.constantFrom(...CONTROL_MESSAGES), (state, message) => {
        const accepted = acceptedMessages(state);
        const why = refusal(state, message);
        expect(why === null).toBe(accepted.includes(message));
        for (const other of why === null ? [] : accepted) expect(why).toContain(`"${other}"`);
      }),
    );
  });

  test('something can move every waiting runbook on, and nothing is asked of one that does not wait', () => {
    fc.assert(
      fc.property(situations, (state) => {
        const next = nextMove(state);
        expect(next !== null).toBe(state.status === 'waiting' || state.status === 'stuck');
        if (next !== null) expect(next.messages.length).toBeGreaterThan(1);
      }),
    );
  });

  test('an accepted message about a step leaves it waiting for nothing', () => {
    fc.assert(
      fc.property(
        waits,
        fc.constantFrom<ControlMessage>('approve', 'retry', 'skip'),
        ({ status, progress }, message) => {
          const state = situation(status, [progress]);
          fc.pre(refusal(state, message) === null);
          const after = progressAfter(progress, { ...DECISION, message });
          expect(nextMove(situation(status, [after]))).toBeNull();
        },
      ),
    );
  });
});

describe('a stuck step', () => {
  test('that cannot be skipped says so, and what is possible', () => {
    expect(refusal(stuck(null), 'skip')).toBe(
      '"skip" makes no sense now: step "step 1" cannot be skipped. Step "step 1" is stuck: Port 6303 is in use. ' +
        'What makes sense: "retry" runs the step again; "abort" undoes what was done, newest first, and ends the runbook.',
    );
  });

  test('that can be skipped says what that means', () => {
    expect(refusal(stuck('The old file stays.'), 'approve')).toContain(
      '"skip" goes on without it (The old file stays)',
    );
  });

  test('counts its attempts', () => {
    const { steps } = stuck(null);
    const progress = steps[1]?.progress ?? { state: 'pending' };
    expect(progressAfter(progress, { ...DECISION, message: 'retry' })).toEqual({
      state: 'running',
      attempt: 3,
    });
  });
});

test('an abort that was accepted is the last word, even while the step still shows as waiting', () => {
  const state = { ...stuck('x'), status: 'aborting' as const };
  expect(acceptedMessages(state)).toEqual([]);
  expect(refusal(state, 'retry')).toContain('undoing');
});

describe('the argument of a control message', () => {
  test.each([
    undefined,
    null,
    'ann',
    7,
    {},
    { by: 'ann' },
    { by: '', reason: 'x' },
    { by: 'ann', reason: ' ' },
  ])('%j is refused with the right shape in the answer', (argument) => {
    expect(readControlArgument(argument)).toContain('{"by":"you","reason":"why"}');
  });

  test('is trimmed, and cut where it is too long to keep', () => {
    const read = readControlArgument({ by: ' ann ', reason: 'x'.repeat(5000), more: 1 });
    expect(read).toMatchObject({ by: 'ann' });
    expect(typeof read === 'string' ? read : read.reason).toHaveLength(400);
  });
});
