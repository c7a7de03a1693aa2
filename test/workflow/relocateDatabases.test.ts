/** What a relocation does with what the planner and its moves say: what it begins, what it keeps, and how it ends. */

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { PlanRelocationsInput } from '../../src/activities/relocationContract.js';
import { CONTROL_QUEUE, SEARCH_ATTRIBUTES } from '../../src/fleet/names.js';
import type { Moves, PlannedMove, RelocationPlan } from '../../src/fleet/relocation/plan.js';
import type { MoveDatabaseRequest, RelocateDatabasesRequest } from '../../src/fleet/requests.js';
import type { RunbookResult, RunbookState } from '../../src/fleet/runbook.js';
import { startTestTemporal, type TestTemporal } from '../../src/testbed/temporal.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { MovedDatabase } from '../../src/workflows/moveDatabase.js';
import type { Relocated } from '../../src/workflows/relocateDatabases.js';
import { cli, type CliRun } from '../integration/cliRunner.js';

Runtime.install({ logger: new DefaultLogger('ERROR') });

const BY = { by: 'ann', reason: 'the test' };
const APPROVED = { approved: { 'move the databases': BY } };
const DEADLINE = { deadlineMs: 60_000 };

/** Something that is waited for until the test opens it. */
class Gate {
  readonly #opening = new AbortController();
  isReached = false;

  async pass(): Promise<void> {
    const { signal } = this.#opening;
    this.isReached = true;
    if (!signal.aborted) await once(signal, 'abort');
  }

  open(): void {
    this.#opening.abort();
  }

  reached(what: string): Promise<unknown> {
    return waitFor(() => this.isReached, { ...DEADLINE, what });
  }
}

/** A host with databases that have to leave it, and with some that nobody can move. */
class Host {
  leaving: string[] = [];
  /** Why the goal cannot be reached in full. */
  obstacle: string | null = null;
  /** What befalls the moves of a database, first to last; afterwards they go well. */
  troubles = new Map<string, (Gate | Error)[]>();
  /** What befalls each planning, by its number from 1. */
  planning = new Map<number, Gate | Error>();
  plans = 0;
  begun: string[] = [];

  readonly activities = {
    checkRequest: ({ request }: { request: RelocateDatabasesRequest }) =>
      Promise.resolve({ fleet: 'demo', request }),
    planRelocations: async (input: PlanRelocationsInput): Promise<RelocationPlan> => {
      this.plans += 1;
      await befalls(this.planning.get(this.plans));
      return this.plan(input);
    },
    move: async ({ database }: MoveDatabaseRequest): Promise<MovedDatabase> => {
      this.begun.push(database);
      await befalls(this.troubles.get(database)?.shift());
      this.leaving = this.leaving.filter((name) => name !== database);
      const { from, to } = moveOf(database);
      const { server, leader, follower } = to;
      return {
        database,
        server,
        from,
        leader,
        follower,
        epoch: 2,
        pausedMs: 1,
        copiedInPause: null,
        leaderForks: 0,
      };
    },
  };

  private plan({ underWay, leave }: PlanRelocationsInput): RelocationPlan {
    const moving = underWay.map(({ database }) => database);
    const next = this.leaving.filter((name) => !leave.includes(name) && !moving.includes(name));
    const moves: Moves | null =
      next.length === 0
        ? null
        : {
            moves: next.map(moveOf),
            bytes: 1,
            seconds: 8,
            safeUntil: null,
            before: [],
            after: [],
            course: [],
          };
    const left = this.leaving.filter((name) => leave.includes(name));
    const why = this.obstacle ?? (left.length === 0 ? null : `${left.join()} stays.`);
    if (why !== null) return { kind: 'impossible', why: [why], bestEffort: moves, would: [], before: [] };
    return moves === null ? { kind: 'safe already', before: [] } : { kind: 'plan', ...moves };
  }
}

async function befalls(trouble: Gate | Error | undefined): Promise<void> {
  if (trouble instanceof Error) throw trouble;
  await trouble?.pass();
}

function moveOf(database: string): PlannedMove {
  const pairOn = (server: string, n: number): PlannedMove['from'] => ({
    server,
    leader: { host: `${server}-a`, address: `127.0.0.${n}`, port: 6300 },
    follower: { host: `${server}-b`, address: `127.0.0.${n + 1}`, port: 6300 },
  });
  const [from, to] = [pairOn('redis-01', 1), pairOn('redis-02', 3)];
  return { database, bytes: 1, from, to, start: 0, end: 8 };
}

let temporal: TestTemporal;
let worker: Worker;
let running: Promise<void>;
let host = new Host();
let number = 0;

beforeAll(async () => {
  const workflowsPath = fileURLToPath(new URL('./relocation.workflows.ts', import.meta.url));
  const logger = Runtime.instance().logger;
  const [started, workflowBundle] = await Promise.all([
    startTestTemporal(),
    bundleWorkflowCode({ workflowsPath, logger }),
  ]);
  temporal = started;
  const { nativeConnection: connection } = temporal;
  worker = await Worker.create({
    connection,
    taskQueue: CONTROL_QUEUE,
    workflowBundle,
    activities: {
      checkRequest: (input: { request: RelocateDatabasesRequest }) => host.activities.checkRequest(input),
      planRelocations: (input: PlanRelocationsInput) => host.activities.planRelocations(input),
      move: (request: MoveDatabaseRequest) => host.activities.move(request),
    },
  });
  running = worker.run();
});
afterAll(async () => {
  worker.shutdown();
  await running;
  await temporal.stop();
});
beforeEach(() => {
  host = new Host();
});

function start(request: RelocateDatabasesRequest): Promise<WorkflowHandle> {
  const workflowId = `relocateDatabases/${String(++number)}`;
  return temporal.client.workflow.start('relocateDatabases', {
    taskQueue: CONTROL_QUEUE,
    workflowId,
    args: [request],
  });
}

async function relocated(handle: WorkflowHandle): Promise<Omit<Relocated, 'moved'> & { moved: string[] }> {
  const { result } = (await handle.result()) as RunbookResult<Relocated>;
  return { ...result, moved: result.moved.map(({ database }) => database) };
}

async function stuck(handle: WorkflowHandle): Promise<void> {
  await waitFor(async () => (await handle.query<RunbookState>('runbook')).status === 'stuck', {
    ...DEADLINE,
    what: `${handle.workflowId} to be stuck`,
  });
}

async function retry(handle: WorkflowHandle): Promise<void> {
  await handle.executeUpdate('retry', { args: [BY] });
}

function refused(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'NoHeadroom');
}

describe('a move that failed', () => {
  test('and went well after a retry of the relocation is no failure in the end', async () => {
    host.leaving = ['a', 'b'];
    host.troubles.set('a', [refused('There was no room.')]);
    const handle = await start({ drain: 'redis-01-a', ...APPROVED });
    await stuck(handle);
    expect(host.leaving).toEqual(['a']);
    await retry(handle);
    const { moved, failed, after } = await relocated(handle);
    expect({ moved, failed, after: after.kind }).toEqual({
      moved: ['b', 'a'],
      failed: [],
      after: 'safe already',
    });
  });
});

describe('a move that is under way', () => {
  test('is still its own when the plan after it failed and was tried again', async () => {
    const [first, second] = [new Gate(), new Gate()];
    host.leaving = ['a', 'b'];
    host.troubles.set('a', [first]).set('b', [second]);
    host.planning.set(3, refused('Consul is away.'));
    const handle = await start({ drain: 'redis-01-a', ...APPROVED });
    await Promise.all([first.reached('the move of a'), second.reached('the move of b')]);
    first.open();
    await stuck(handle);
    await retry(handle);
    second.open();
    const { moved, failed } = await relocated(handle);
    expect({ moved, failed }).toEqual({ moved: ['a', 'b'], failed: [] });
    expect(host.begun.toSorted()).toEqual(['a', 'b']);
  });

  test('can be found by its subject from its first moment', async () => {
    host.leaving = ['found'];
    await relocated(await start({ drain: 'redis-01-a', ...APPROVED }));
    const { events } = await temporal.client.workflow.getHandle('moveDatabase/found').fetchHistory();
    const first = events?.[0]?.workflowExecutionStartedEventAttributes?.searchAttributes?.indexedFields;
    expect(Object.keys(first ?? {}).toSorted()).toEqual(Object.keys(SEARCH_ATTRIBUTES).toSorted());
    const { typedSearchAttributes } = await temporal.client.workflow
      .getHandle('moveDatabase/found')
      .describe();
    expect(typedSearchAttributes.getAll().map(({ value }) => value)).toContainEqual(['redis-01', 'redis-02']);
  });

  test('goes on after an abort, which says so', async () => {
    const gate = new Gate();
    host.leaving = ['a'];
    host.troubles.set('a', [gate]);
    const handle = await start({ drain: 'redis-01-a', ...APPROVED });
    await gate.reached('the move of a');
    await handle.executeUpdate('abort', { args: [BY] });
    const { runbook } = await aborted(handle);
    expect(runbook.notes.at(-1)).toMatch(/^The move of a goes on by itself/);
    gate.open();
    await temporal.client.workflow.getHandle('moveDatabase/a').result();
    expect(host.leaving).toEqual([]);
  });
});

describe('an abort', () => {
  test('while it plans begins no move', async () => {
    const planning = new Gate();
    host.leaving = ['a'];
    host.planning.set(2, planning);
    const handle = await start({ drain: 'redis-01-a', ...APPROVED });
    await planning.reached('the second planning');
    await handle.executeUpdate('abort', { args: [BY] });
    planning.open();
    expect((await aborted(handle)).type).toBe('RunbookAborted');
    const { events } = await handle.fetchHistory();
    const begun = (events ?? []).filter((event) => event.startChildWorkflowExecutionInitiatedEventAttributes);
    expect(begun).toEqual([]);
  });
});

async function aborted(handle: WorkflowHandle): Promise<{ type: string; runbook: RunbookState }> {
  const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
  if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) {
    const { type, details } = error.cause;
    return { type: type ?? '', runbook: details?.[0] as RunbookState };
  }
  throw new Error(`It was not aborted: ${JSON.stringify(error)}`);
}

describe('redis-fleet relocate --host', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'redis-fleet-relocate-'));
    const hosts = ['a', 'b'].map(
      (side, n) => `{ name: redis-01-${side}, zone: az-${side}, address: 127.0.0.${n + 1}, memory: 4GiB }`,
    );
    writeFileSync(
      path.join(folder, 'fleet.yaml'),
      `fleet: demo\nservers:\n  - { name: redis-01, hosts: [${hosts.join(', ')}] }\ndatabases: []\n`,
    );
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  function relocate(): Promise<CliRun> {
    const env = { ...temporal.env, REDIS_FLEET_FILE: path.join(folder, 'fleet.yaml') };
    return cli(env, ['relocate', '--host', 'redis-01-a', '--approve', '--reason', 'it is full']);
  }

  test('ends with 0 when the host is safe', async () => {
    host.leaving = ['a'];
    const { code, out } = await relocate();
    expect(out).toContain('relocateDatabases/redis-01-a ended well.');
    expect(code).toBe(0);
  });

  test('ends with 1 when all was moved that could be, and the host is not safe', async () => {
    host.leaving = ['a'];
    host.obstacle = 'A fork of b does not fit on redis-01-a.';
    const { code, out } = await relocate();
    expect(host.begun).toEqual(['a']);
    expect(out).toContain('a moved from redis-01-a to redis-02-a.');
    expect(out).toContain('No plan reaches the goal.');
    expect(out).toContain('A fork of b does not fit on redis-01-a.');
    expect(code).toBe(1);
  });
});
