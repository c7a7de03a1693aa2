import { WorkflowFailedError } from '@temporalio/client';
import { CancelledFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONTROL_QUEUE } from '../../../src/fleet/names.js';
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

describe('a more urgent runbook takes the database', () => {
  test('the guard notices before the next step; only what must be given back is undone', async () => {
    const id = stage.id('preempted');
    const handle = await stage.start('guarded', id);
    // The first guarded step passes; before the next one the database is lost.
    stage.ledger.fail(id, 'never', { kind: 'OwnershipLost', message: 'promoteFollower/x owns it now.' });
    const { failure, state } = await failureOf(handle);
    expect(failure.type).toBe('RunbookPreempted');
    expect(failure.message).toContain('promoteFollower/x owns it now.');
    expect(progressOf(state, 'change')).toMatchObject({ state: 'not undone' });
    expect(progressOf(state, 'permit')).toEqual({ state: 'undone' });
    expect(stage.ledger.of(id)).toEqual([
      'permit',
      'guard',
      'change',
      'guard',
      'never failed',
      'undo permit',
    ]);
  });

  test('a guard that fails for another reason makes the step stuck, and nothing of it was done', async () => {
    const id = stage.id('guard-fails');
    stage.ledger.fail(id, 'guard', { kind: 'Unreachable', message: 'Consul is away.' });
    const handle = await stage.start('guarded', id);
    await until(handle, 'change', 'stuck');
    expect(stage.ledger.of(id)).toEqual(['permit', 'guard failed']);
    await tell(handle, 'retry');
    expect((await resultOf(handle)).result).toBe('guarded');
  });

  test('while an abort undoes: the rest is left to the new owner', async () => {
    const id = stage.id('preempted-in-undo');
    stage.ledger.fail(id, 'never');
    stage.ledger.fail(id, 'undo change', { kind: 'OwnershipLost', message: 'Lost.' });
    const handle = await stage.start('guarded', id);
    await until(handle, 'never', 'stuck');
    await tell(handle, 'abort');
    const { failure, state } = await failureOf(handle);
    expect(failure.type).toBe('RunbookAborted');
    expect(progressOf(state, 'change')?.state).toBe('not undone');
    expect(progressOf(state, 'permit')?.state).toBe('undone');
  });
});

describe('a fault of the procedure itself', () => {
  test('outside the steps ends it, after undoing, instead of trying the workflow task for ever', async () => {
    const id = stage.id('faulty');
    const { failure } = await failureOf(await stage.start('faulty', id));
    expect(failure.type).toBe('RunbookFailed');
    expect(failure.message).toContain('the stair is not a function');
    expect(stage.ledger.of(id)).toEqual(['walk', 'undo walk']);
  });

  test('inside a step makes it stuck', async () => {
    const id = stage.id('faulty-step');
    const handle = await stage.start('faultyStep', id);
    const stuck = await until(handle, 'walk', 'stuck');
    expect(progressOf(stuck, 'walk')).toMatchObject({
      problem: expect.stringContaining('TypeError') as string,
    });
    await tell(handle, 'skip');
    expect((await resultOf(handle)).result).toBe('stayed');
  });

  test('a step name used twice is refused', async () => {
    const { failure } = await failureOf(await stage.start('sameNameTwice', stage.id('twice')));
    expect(failure.message).toContain('two steps of the name "walk"');
  });

  test('a refusal of its own keeps its kind', async () => {
    const { failure } = await failureOf(await stage.start('refusesItself', stage.id('refuses')));
    expect(failure.type).toBe('NoHeadroom');
  });
});

test('a host that nobody serves is reported as that, and goes on when its agent is there', async () => {
  const id = stage.id('nobody');
  const handle = await stage.start('needsHost', id, { host: 'redis-09-a', within: 300 });
  const stuck = await until(handle, 'ask', 'stuck');
  expect(progressOf(stuck, 'ask')).toMatchObject({
    kind: 'nobody serves',
    problem: expect.stringMatching(
      /^nobody serves host\/redis-09-a: .*start its agent: redis-fleet agent --host redis-09-a, then retry/,
    ) as string,
  });
  const agent = await Worker.create({
    connection: stage.temporal.nativeConnection,
    taskQueue: 'host/redis-09-a',
    activities: { hostMemory: () => Promise.resolve({ total: 4096, available: 1024 }) },
  });
  await agent.runUntil(async () => {
    await tell(handle, 'retry', 'its agent runs now');
    expect((await resultOf(handle)).result).toBe(4096);
  });
});

test('without being told so, an activity on a host is bounded in every way', async () => {
  const handle = await stage.start('needsHost', stage.id('bounds'), { host: 'redis-09-b' });
  const scheduled = await waitFor(
    async () =>
      (await handle.fetchHistory()).events?.find((event) => event.activityTaskScheduledEventAttributes)
        ?.activityTaskScheduledEventAttributes,
    { deadlineMs: 20_000, what: 'the activity to be scheduled' },
  );
  const seconds = (timeout: { seconds?: unknown } | null | undefined): number => Number(timeout?.seconds);
  expect(seconds(scheduled.scheduleToStartTimeout)).toBe(30);
  expect(seconds(scheduled.startToCloseTimeout)).toBe(60);
  expect(seconds(scheduled.scheduleToCloseTimeout)).toBe(600);
  expect(seconds(scheduled.heartbeatTimeout)).toBe(10);
  await tell(handle, 'abort', 'seen enough');
  await failureOf(handle);
});

test('a worker that falls silent is reported as that, long before its time is up', async () => {
  let silent = true;
  const worker = await Worker.create({
    connection: stage.temporal.nativeConnection,
    taskQueue: CONTROL_QUEUE,
    activities: {
      confirmOwnership: async () => {
        if (silent) await Context.current().cancelled.catch(() => undefined);
      },
    },
    shutdownForceTime: '1 second',
  });
  await worker.runUntil(async () => {
    const handle = await stage.start('silence', stage.id('silence'));
    const stuck = await until(handle, 'listen', 'stuck');
    expect(progressOf(stuck, 'listen')).toMatchObject({
      kind: 'timed out',
      problem: expect.stringMatching(
        /^confirmOwnership fell silent on a control worker within 400 ms.*redis-fleet worker/,
      ) as string,
    });
    silent = false;
    await tell(handle, 'retry');
    expect((await resultOf(handle)).result).toBe('heard');
  });
});

describe('what others see', () => {
  test('a good run is findable by what it is about, and changes its attributes twice at most', async () => {
    const id = stage.id('attributes');
    const handle = await stage.start('skippable', id, { database: 'carts-07' });
    await resultOf(handle);
    const { events } = await handle.fetchHistory();
    const upserts = (events ?? []).filter((event) => event.upsertWorkflowSearchAttributesEventAttributes);
    expect(upserts).toHaveLength(2);
    const found = await waitFor(
      async () => {
        const query = `RedisFleet = "test" AND RedisDatabase = "carts-07" AND RunbookStatus = "done"`;
        for await (const { workflowId } of stage.client.workflow.list({ query })) return workflowId;
        return null;
      },
      { deadlineMs: 20_000, what: 'the run to be listed' },
    );
    expect(found).toBe(id);
  });

  test('a stuck one is findable as stuck', async () => {
    const id = stage.id('stuck-attribute');
    stage.ledger.fail(id, 'third');
    const handle = await stage.start('unskippable', id, { database: 'carts-08' });
    await until(handle, 'third', 'stuck');
    await waitFor(
      async () => {
        const query = `RedisDatabase = "carts-08" AND RunbookStatus = "stuck"`;
        for await (const { workflowId } of stage.client.workflow.list({ query })) return workflowId;
        return null;
      },
      { deadlineMs: 20_000, what: 'the run to be listed as stuck' },
    );
    await tell(handle, 'retry');
    await resultOf(handle);
  });

  test('current details show the table and the exact command, and that command moves it on', async () => {
    const id = stage.id("it's a place");
    const handle = await stage.start('dangerous', id, {});
    await until(handle, 'light', 'waiting for approval');
    const { currentDetails, definition } = await metadataOf(id);
    expect(definition.updateDefinitions.map(({ name }) => name).sort()).toEqual([
      'abort',
      'approve',
      'retry',
      'skip',
    ]);
    for (const { description } of definition.updateDefinitions) {
      expect(description).toContain('{"by":"you","reason":"why"}');
    }

    const lines = currentDetails.split('\n');
    expect(lines.find((line) => line.startsWith('| light'))).toMatch(
      /^\| light \| waiting for approval \| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| It burns \\\| and "cannot" be undone\. \|$/,
    );
    const command = lines.find((line) => line.includes('--name approve')) ?? 'no command';
    expect(command).toContain(`--workflow-id 'it'\\''s a place/`);
    expect(await stage.shell(command)).toContain('Step');
    const { runbook } = await resultOf<string>(handle);
    expect(runbook.decisions).toMatchObject([{ message: 'approve', by: 'you', reason: 'why' }]);
  });
});

test('every history of these stories replays', async () => {
  const { bundle } = stage;
  const histories = await stage.histories();
  expect(histories.length).toBeGreaterThan(25);
  let replayed = 0;
  for await (const { error, workflowId } of Worker.runReplayHistories(
    { workflowBundle: bundle },
    histories,
  )) {
    expect(error, workflowId).toBeUndefined();
    replayed += 1;
  }
  expect(replayed).toBe(histories.length);
});

interface Metadata {
  readonly currentDetails: string;
  readonly definition: {
    readonly updateDefinitions: readonly { readonly name: string; readonly description: string }[];
  };
}

/** As the UI and the CLI see it. */
async function metadataOf(workflowId: string): Promise<Metadata> {
  const shown = await stage.cli('workflow', 'metadata', '--workflow-id', workflowId, '--output', 'json');
  const [metadata] = (JSON.parse(shown) as { queryResult: Metadata[] }).queryResult;
  if (metadata === undefined) throw new Error(`No metadata in ${shown}`);
  return metadata;
}
