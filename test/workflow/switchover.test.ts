/** What the runbook does with what a hand-over says: whom it fences, what it undoes, how many it has under way. */

import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { HandedOver, HandOverInput } from '../../src/activities/switchoverContract.js';
import type { ErrorKind } from '../../src/fleet/errors.js';
import { CONTROL_QUEUE, hostQueue } from '../../src/fleet/names.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import type { SwitchoverRequest } from '../../src/fleet/requests.js';
import type { RunbookResult, RunbookState } from '../../src/fleet/runbook.js';
import type { SwitchoverPlan } from '../../src/fleet/switchover.js';
import { startTestTemporal, type TestTemporal } from '../../src/testbed/temporal.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { SwitchedOver } from '../../src/workflows/switchover.js';
import { followerEndpoint, leaderEndpoint, thirdEndpoint } from '../unit/facts.js';

Runtime.install({ logger: new DefaultLogger('ERROR') });

type Answer = HandedOver | ApplicationFailure;

/** A fleet that only says what it is asked, and remembers it. */
class Fleet {
  calls: string[] = [];
  /** What each call of `handOver` answers, by database; afterwards it succeeds. */
  answers = new Map<string, Answer[]>();
  fencing: ApplicationFailure | null = null;
  unfit = new Map<string, string>();
  extras: DatabaseRecord['extraFollowers'] = undefined;
  underWay = 0;
  mostUnderWay = 0;

  record(database: string): DatabaseRecord {
    return {
      database,
      server: 'redis-01',
      epoch: 1,
      leader: leaderEndpoint,
      follower: followerEndpoint,
      ...(this.extras === undefined ? {} : { extraFollowers: this.extras }),
      updatedAt: '2026-01-01T00:00:00.000Z',
      updatedBy: 'x',
    };
  }

  plan(database: string): SwitchoverPlan {
    const why = this.unfit.get(database);
    return {
      database,
      record: this.record(database),
      verdict: why === undefined ? { may: true } : { may: false, why },
      forks: { leader: 0, follower: 0 },
    };
  }

  readonly control = {
    checkRequest: ({ request }: { request: SwitchoverRequest }) => Promise.resolve({ fleet: 'f', request }),
    planSwitchover: ({ request: { database, databases } }: { request: SwitchoverRequest }) =>
      Promise.resolve((databases ?? [database ?? '']).map((name) => this.plan(name))),
    claimDatabases: ({ databases }: { databases: string[] }) => this.say(`claim ${databases.join(' ')}`),
    releaseDatabases: ({ databases }: { databases: string[] }) => this.say(`release ${databases.join(' ')}`),
    confirmOwnership: () => Promise.resolve(),
    handOver: async ({ database, from, to }: HandOverInput): Promise<HandedOver> => {
      this.calls.push(`hand over ${database}`);
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
      await sleep(20);
      this.underWay--;
      const answer = this.answers.get(database)?.shift();
      if (answer instanceof Error) throw answer;
      const record = { ...this.record(database), epoch: 2, leader: to, follower: from };
      return answer ?? { database, record, from, to, pausedMs: 4 };
    },
    settleHandOver: ({ database }: HandOverInput) => this.say(`settle ${database}`),
    letGoOfClients: ({ endpoint }: { endpoint: { host: string } }) =>
      this.say(`let go at ${endpoint.host}`, 1),
    awaitResynchronised: ({ database }: { database: string }) => this.say(`resynchronised ${database}`),
    inspect: () => Promise.resolve({ runId: 'run', totalForks: 0 }),
    follow: ({ follower }: { follower: { host: string } }) => this.say(`point ${follower.host}`),
  };

  readonly agent = {
    fenceProcess: ({ database, endpoint }: { database: string; endpoint: { host: string } }) => {
      this.calls.push(`fence ${database} on ${endpoint.host}`);
      return this.fencing === null ? Promise.resolve('killed') : Promise.reject(this.fencing);
    },
  };

  private say<T>(call: string, answer?: T): Promise<T | undefined> {
    this.calls.push(call);
    return Promise.resolve(answer);
  }
}

let temporal: TestTemporal;
let fleet: Fleet;
let workers: Worker[];
let running: Promise<void>[];
let number = 0;

beforeAll(async () => {
  const workflowsPath = fileURLToPath(new URL('../../src/workflows/switchover.ts', import.meta.url));
  const logger = Runtime.instance().logger;
  const [started, workflowBundle] = await Promise.all([
    startTestTemporal(),
    bundleWorkflowCode({ workflowsPath, logger }),
  ]);
  temporal = started;
  fleet = new Fleet();
  const connection = temporal.nativeConnection;
  workers = await Promise.all([
    Worker.create({ connection, taskQueue: CONTROL_QUEUE, workflowBundle, activities: fleet.control }),
    Worker.create({
      connection,
      taskQueue: hostQueue(followerEndpoint.host),
      activities: fleet.agent,
    }),
  ]);
  running = workers.map((worker) => worker.run());
});
afterAll(async () => {
  for (const worker of workers) worker.shutdown();
  await Promise.all(running);
  await temporal.stop();
});
beforeEach(() => {
  fleet.calls = [];
  fleet.answers.clear();
  fleet.unfit.clear();
  fleet.fencing = null;
  fleet.extras = undefined;
  fleet.mostUnderWay = 0;
});

function refused(kind: ErrorKind, message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, kind);
}

function start(request: SwitchoverRequest): Promise<WorkflowHandle> {
  const workflowId = `switchover/${String(++number)}`;
  return temporal.client.workflow.start('switchover', {
    taskQueue: CONTROL_QUEUE,
    workflowId,
    args: [request],
  });
}

async function done(request: SwitchoverRequest): Promise<RunbookResult<SwitchedOver>> {
  return (await (await start(request)).result()) as RunbookResult<SwitchedOver>;
}

async function failure(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
  if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) return error.cause;
  throw new Error(`It did not fail: ${JSON.stringify(error)}`);
}

const UNDONE = 'Database b is not handed over: its follower was late. Writes go on.';

describe('several databases', () => {
  const names = Array.from({ length: 10 }, (_, index) => `sessions-${String(index)}`);

  test('four at a time, and the result in the order of the request', async () => {
    const { result } = await done({ databases: names });
    expect(result.handedOver.map(({ database }) => database)).toEqual(names);
    expect(fleet.mostUnderWay).toBe(4);
  });

  test('one that is undone leaves the others alone, and is named when all is released', async () => {
    fleet.answers.set('b', [refused('HandOverUndone', UNDONE)]);
    const { type, message } = await failure(await start({ databases: ['a', 'b', 'c'] }));
    expect({ type, message }).toEqual({
      type: 'HandOverUndone',
      message: `Handed over: a, c. Not well: ${UNDONE}`,
    });
    expect(fleet.calls.filter((call) => call.startsWith('resynchronised'))).toHaveLength(2);
    expect(fleet.calls).toContain('release a b c');
  });

  test('one that is not fit is never claimed', async () => {
    fleet.unfit.set('b', 'The follower of b loads.');
    const { message } = await failure(await start({ databases: ['a', 'b'] }));
    expect(message).toBe('Handed over: a. Not well: The follower of b loads.');
    expect(fleet.calls).toContain('claim a');
  });

  test('none that is fit: nothing is claimed', async () => {
    fleet.unfit.set('b', 'The follower of b loads.');
    const { type } = await failure(await start({ database: 'b' }));
    expect(type).toBe('HandOverUndone');
    expect(fleet.calls).toEqual([]);
  });

  test('one leader is not the one who was believed in: none of them is touched', async () => {
    fleet.unfit.set('b', 'b is led by another.');
    const handle = await start({ databases: ['a', 'b'], expectedLeader: followerEndpoint.host });
    expect((await failure(handle)).type).toBe('HandOverUndone');
    expect(fleet.calls).toEqual([]);
  });
});

test('further followers are pointed at the new leader, once the old one follows it', async () => {
  fleet.extras = [thirdEndpoint];
  await done({ database: 'a' });
  expect(fleet.calls).toEqual([
    'claim a',
    'hand over a',
    'let go at redis-01-a',
    'resynchronised a',
    'point redis-02-b',
    'release a',
  ]);
});

describe('nobody knows whether the new leader leads', () => {
  const doubt = (): ApplicationFailure => refused('NotFenced', 'Nobody leads database b now.');

  test('its agent fences it, and then the old leader leads again', async () => {
    fleet.answers.set('b', [doubt(), refused('HandOverUndone', UNDONE)]);
    expect((await failure(await start({ database: 'b' }))).type).toBe('HandOverUndone');
    expect(fleet.calls).toEqual([
      'claim b',
      'hand over b',
      'fence b on redis-01-b',
      'hand over b',
      'release b',
      'release b',
    ]);
  });

  test('its agent cannot: the runbook keeps the database and waits; an abort settles it', async () => {
    fleet.answers.set('b', [doubt()]);
    fleet.fencing = refused('ProcessDied', 'It could not be killed.');
    const handle = await start({ database: 'b' });
    const state = await waitFor(
      async () => {
        const seen = await handle.query<RunbookState>('runbook');
        return seen.status === 'stuck' ? seen : null;
      },
      { deadlineMs: 20_000, what: 'the runbook to be stuck' },
    );
    expect(state.steps.find(({ name }) => name === 'hand over')?.progress).toMatchObject({
      state: 'stuck',
      problem: 'It could not be killed.',
    });
    expect(fleet.calls).not.toContain('release b');
    await handle.executeUpdate('abort', { args: [{ by: 'ann', reason: 'the host is off' }] });
    expect((await failure(handle)).type).toBe('RunbookAborted');
    expect(fleet.calls.slice(-2)).toEqual(['settle b', 'release b']);
  });
});

test('a more urgent runbook took the only database: this one gives way', async () => {
  fleet.answers.set('a', [refused('OwnershipLost', 'promoteFollower/a owns it now.')]);
  const { type, message } = await failure(await start({ database: 'a' }));
  expect(type).toBe('RunbookPreempted');
  expect(message).toContain('promoteFollower/a owns it now.');
  expect(fleet.calls).not.toContain('settle a');
});
