import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONTROL_QUEUE } from '../../../src/fleet/names.js';
import { waitFor } from '../../../src/testbed/waiting.js';
import { failureOf, progressOf, resultOf, Stage, tell, until } from './stage.js';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(async () => {
  await stage.close();
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
      /^\| light \| waiting for approval \| \d\d:\d\d:\d\d \| It burns \\\| and "cannot" be undone\. \|$/,
    );
    const named = lines.findIndex((line) => line.includes('--name approve'));
    // As it is shown, over three lines.
    const command = lines.slice(named - 1, named + 2).join('\n');
    expect(command).toContain(`--workflow-id 'it'\\''s a place/`);
    expect(await stage.shell(command)).toContain('Step');
    const { runbook } = await resultOf<string>(handle);
    expect(runbook.decisions).toMatchObject([{ message: 'approve', by: 'you', reason: 'why' }]);
  });
});

test('every history of these stories replays', async () => {
  expect(await stage.replay()).toBeGreaterThan(9);
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
