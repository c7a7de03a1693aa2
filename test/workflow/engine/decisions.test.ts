import { WorkflowFailedError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '../../../src/testbed/waiting.js';
import { failureOf, progressOf, refusalOf, resultOf, Stage, stateOf, tell, until } from './stage.js';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(async () => {
  await stage.close();
});

describe('a step fails', () => {
  test('the runbook is stuck, keeps what it has, and goes on after a retry', async () => {
    const id = stage.id('retry');
    stage.ledger.fail(id, 'third', { message: 'Port 6303 is in use.', kind: 'PortInUse' });
    const handle = await stage.start('unskippable', id, {});

    const stuck = await until(handle, 'third', 'stuck');
    expect(stuck.status).toBe('stuck');
    expect(progressOf(stuck, 'third')).toMatchObject({ problem: 'Port 6303 is in use.', kind: 'PortInUse' });
    expect(stuck.next?.messages).toEqual(['retry', 'abort']);

    expect(await tell(handle, 'retry', 'the port is free now')).toContain('"third"');
    const { result, runbook } = await resultOf<string>(handle);
    expect(result).toBe('carried');
    expect(runbook.status).toBe('done');
    expect(runbook.decisions).toMatchObject([
      { message: 'retry', step: 'third', by: 'ann', reason: 'the port is free now' },
    ]);
    expect(stage.ledger.of(id)).toEqual(['first', 'second', 'third failed', 'third']);
  });

  test('it can be skipped where that has a meaning', async () => {
    const id = stage.id('skip');
    stage.ledger.fail(id, 'third');
    const handle = await stage.start('skippable', id, {});
    await until(handle, 'third', 'stuck');
    await tell(handle, 'skip', 'not today');
    const { result, runbook } = await resultOf<string>(handle);
    expect(result).toBe('stayed');
    expect(progressOf(runbook, 'third')).toEqual({ state: 'skipped', by: 'ann', reason: 'not today' });
  });

  test('where it cannot be skipped, the refusal says what can be done; nothing changes by it', async () => {
    const id = stage.id('no-skip');
    stage.ledger.fail(id, 'third');
    const handle = await stage.start('unskippable', id, {});
    await until(handle, 'third', 'stuck');
    const refused = await refusalOf(tell(handle, 'skip'));
    expect(refused).toContain('step "third" cannot be skipped');
    expect(refused).toContain('"retry" runs the step again');
    expect(await refusalOf(tell(handle, 'approve'))).toContain('no step waits for approval');
    expect(await refusalOf(tell(handle, 'retry', '  '))).toContain('"reason" must be a non-empty string');
    expect(await refusalOf(handle.executeUpdate('retry'))).toContain('{"by":"you","reason":"why"}');
    expect((await stateOf(handle)).decisions).toEqual([]);
    await tell(handle, 'retry');
    await resultOf(handle);
  });

  test('of several activities at once, the others are cancelled and have ended before it is stuck', async () => {
    const id = stage.id('parallel');
    stage.ledger.fail(id, 'quick one');
    const handle = await stage.start('parallel', id);
    await until(handle, 'both', 'stuck');
    expect([...stage.ledger.of(id)].sort()).toEqual([
      'quick one failed',
      'slow one began',
      'slow one cancelled',
    ]);
    await tell(handle, 'abort');
    await failureOf(handle);
  });

  test('before anything is changed, a refusal ends the runbook at once with the kind of the error', async () => {
    const id = stage.id('preflight');
    stage.ledger.fail(id, 'look', { kind: 'InvalidRequest', message: 'database: must be a name.' });
    const { failure, state } = await failureOf(await stage.start('preflight', id));
    expect(failure.type).toBe('InvalidRequest');
    expect(failure.message).toBe('database: must be a name.');
    expect(progressOf(state, 'look')?.state).toBe('stopped');
  });

  test('before anything is changed, trouble that may pass makes it stuck all the same', async () => {
    const id = stage.id('preflight-outage');
    stage.ledger.fail(id, 'look', { kind: 'Unreachable', message: 'Consul is away.', retryable: true });
    const handle = await stage.start('preflight', id);
    await until(handle, 'look', 'stuck');
    await tell(handle, 'retry');
    expect((await resultOf(handle)).result).toBe('looked');
  });
});

describe('an abort', () => {
  test('undoes what was done, newest first, also of the step that failed half-way', async () => {
    const id = stage.id('abort');
    stage.ledger.fail(id, 'third');
    const handle = await stage.start('unskippable', id, {});
    await until(handle, 'third', 'stuck');
    await tell(handle, 'abort', 'wrong room', 'bob');
    const { failure, state } = await failureOf(handle);
    expect(failure.type).toBe('RunbookAborted');
    expect(failure.message).toBe(
      '"Move the furniture" was aborted by bob: wrong room. Undone: "third", "second", "first".',
    );
    expect(stage.ledger.of(id).slice(3)).toEqual(['undo third', 'undo second', 'undo first']);
    expect(state.decisions).toMatchObject([
      { message: 'abort', by: 'bob', reason: 'wrong room', step: 'third' },
    ]);
    expect(state.steps.map(({ progress }) => progress.state)).toEqual(['undone', 'undone', 'undone']);
    expect(state.status).toBe('done');
  });

  test('stops a running step first, then undoes', async () => {
    const id = stage.id('abort-running');
    const handle = await stage.start('longStep', id);
    await waitFor(() => stage.ledger.of(id).includes('long began'), {
      deadlineMs: 20_000,
      what: 'the long step',
    });
    await tell(handle, 'abort');
    await failureOf(handle);
    expect(stage.ledger.of(id)).toEqual(['short', 'long began', 'long cancelled', 'undo long', 'undo short']);
  });

  test('reaches a runbook between two steps', async () => {
    const id = stage.id('abort-between');
    const handle = await stage.start('pausesBetween', id);
    await until(handle, 'before', 'done');
    expect(await refusalOf(tell(handle, 'retry'))).toContain('no step is stuck');
    await tell(handle, 'abort');
    const { state } = await failureOf(handle);
    expect(state.decisions).toMatchObject([{ message: 'abort', step: null }]);
    expect(stage.ledger.of(id)).toEqual(['before', 'undo before']);
  });

  test('that comes before the first step lets none begin', async () => {
    const id = stage.id('abort-early');
    const { failure } = await failureOf(await stage.startWithSignal('unskippable', id, 'abort'));
    expect(failure.message).toBe(
      '"Move the furniture" was aborted by ann: too early. Nothing had to be undone.',
    );
    expect(stage.ledger.of(id)).toEqual([]);
  });

  test('waits for a person when an undo fails: retry tries again, skip leaves it', async () => {
    const id = stage.id('undo-stuck');
    stage.ledger.fail(id, 'third');
    stage.ledger.fail(id, 'undo third');
    stage.ledger.fail(id, 'undo first', { message: 'The table is glued.' });
    const handle = await stage.start('unskippable', id, {});
    await until(handle, 'third', 'stuck');
    await tell(handle, 'abort');

    const stuck = await until(handle, 'third', 'undo stuck');
    expect(stuck.status).toBe('stuck');
    expect(stuck.next?.messages).toEqual(['retry', 'skip']);
    const refused = await refusalOf(tell(handle, 'abort'));
    expect(refused).toContain('already undoing');
    expect(refused).toContain('"skip" leaves it as it is');
    await tell(handle, 'retry');

    await until(handle, 'first', 'undo stuck');
    await tell(handle, 'skip', 'cut it loose by hand', 'bob');
    const { failure, state } = await failureOf(handle);
    expect(failure.message).toContain('Undone: "third", "second". Not undone: "first".');
    expect(progressOf(state, 'first')).toEqual({ state: 'not undone', why: 'bob: cut it loose by hand' });
    expect(state.decisions.map(({ message }) => message)).toEqual(['abort', 'retry', 'skip']);
  });

  test('keeps what a step has settled, but for what must be given back', async () => {
    const id = stage.id('settled');
    stage.ledger.fail(id, 'tidy');
    const handle = await stage.start('settled', id);
    await until(handle, 'tidy', 'stuck');
    await tell(handle, 'abort');
    const { state } = await failureOf(handle);
    expect(stage.ledger.of(id)).toEqual(['claim', 'build', 'publish', 'tidy failed', 'undo claim']);
    expect(progressOf(state, 'build')?.state).toBe('done');
  });
});

describe('a cancellation of the workflow', () => {
  test('undoes while a step is stuck, and ends as cancelled', async () => {
    const id = stage.id('cancel-stuck');
    stage.ledger.fail(id, 'third');
    const handle = await stage.start('unskippable', id, {});
    await until(handle, 'third', 'stuck');
    await handle.cancel();
    const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect(stage.ledger.of(id).slice(3)).toEqual(['undo third', 'undo second', 'undo first']);
  });

  test('stops a running step first, and does not stop the undoing, not even when an undo is stuck', async () => {
    const id = stage.id('cancel-running');
    stage.ledger.fail(id, 'undo short');
    const handle = await stage.start('longStep', id);
    await waitFor(() => stage.ledger.of(id).includes('long began'), {
      deadlineMs: 20_000,
      what: 'the long step',
    });
    await handle.cancel();
    await until(handle, 'short', 'undo stuck');
    await tell(handle, 'retry');
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    expect(stage.ledger.of(id)).toEqual([
      'short',
      'long began',
      'long cancelled',
      'undo long',
      'undo short failed',
      'undo short',
    ]);
  });

  test('reaches a runbook that waits for approval', async () => {
    const id = stage.id('cancel-waiting');
    const handle = await stage.start('dangerous', id, {});
    await until(handle, 'light', 'waiting for approval');
    await handle.cancel();
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    expect(stage.ledger.of(id)).toEqual(['stack wood', 'undo stack wood']);
  });
});

describe('a dangerous step', () => {
  test('is not approved by a message that came before it was asked for', async () => {
    const id = stage.id('approve-early');
    const handle = await stage.startWithSignal('dangerous', id, 'approve');
    const waiting = await until(handle, 'light', 'waiting for approval');
    expect(waiting.decisions).toMatchObject([
      { message: 'approve', refused: expect.stringContaining('no step waits for approval') as string },
    ]);
    await tell(handle, 'approve');
    await resultOf(handle);
  });

  test('waits for an approval, by update', async () => {
    const id = stage.id('approve');
    const handle = await stage.start('dangerous', id, {});
    const waiting = await until(handle, 'light', 'waiting for approval');
    expect(waiting.status).toBe('waiting');
    expect(waiting.next?.waitsFor).toContain('It burns');
    expect(await refusalOf(tell(handle, 'retry'))).toContain('"approve" lets the step run');
    await tell(handle, 'approve', 'it is cold');
    const { result, runbook } = await resultOf<string>(handle);
    expect(result).toBe('burning');
    expect(runbook.decisions).toMatchObject([{ message: 'approve', step: 'light', reason: 'it is cold' }]);
  });

  test('waits for an approval, by signal; a signal that makes no sense is kept as refused', async () => {
    const id = stage.id('approve-signal');
    const handle = await stage.start('dangerous', id, {});
    await until(handle, 'light', 'waiting for approval');
    await handle.signal('skip', { by: 'tctl', reason: 'try' });
    await handle.signal('approve');
    await handle.signal('approve', { by: 'tctl', reason: 'go' });
    const { runbook } = await resultOf<string>(handle);
    expect(runbook.decisions).toMatchObject([
      { message: 'skip', by: 'tctl', refused: expect.stringContaining('cannot be skipped') as string },
      {
        message: 'approve',
        by: 'unknown',
        refused: expect.stringContaining('argument is missing') as string,
      },
      { message: 'approve', by: 'tctl', reason: 'go' },
    ]);
    expect(runbook.decisions[2]).not.toHaveProperty('refused');
  });

  test('does not wait when the request approved it by name', async () => {
    const id = stage.id('approve-before');
    const handle = await stage.start('dangerous', id, {
      approved: { light: { by: 'cat', reason: 'planned' } },
    });
    const { result, runbook } = await resultOf<string>(handle);
    expect(result).toBe('burning');
    expect(runbook.decisions).toMatchObject([
      { message: 'approve', step: 'light', by: 'cat', reason: 'planned' },
    ]);
  });

  test('is not approved by an approval of another step', async () => {
    const id = stage.id('approve-other');
    const handle = await stage.start('dangerous', id, {
      approved: { 'stack wood': { by: 'cat', reason: 'planned' } },
    });
    await until(handle, 'light', 'waiting for approval');
    await tell(handle, 'abort');
    await failureOf(handle);
    expect(stage.ledger.of(id)).not.toContain('light');
  });
});

test('every history of these stories replays', async () => {
  expect(await stage.replay()).toBeGreaterThan(17);
});
