/** What the stories of runbooks on a whole fleet share: starting one, moving it on, and looking at what it left behind. */

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import type { Client } from '@temporalio/client';
import { expect } from 'vitest';
import { queryRunbook, runbookEnd } from '../../src/cli/runbookState.js';
import type { RunbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { withRedis, type Redis } from '../../src/connections/redis.js';
import { REPLICATION_USER } from '../../src/fleet/gates.js';
import { CONTROL_QUEUE } from '../../src/fleet/names.js';
import type { Endpoint } from '../../src/fleet/record.js';
import type { BringUpFollowerRequest } from '../../src/fleet/requests.js';
import type { ControlMessage, RunbookState, StepRecord } from '../../src/fleet/runbook.js';
import { processFiles } from '../../src/host/layout.js';
import { permitStore } from '../../src/records/permits.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import type { BroughtUpFollower } from '../../src/workflows/bringUpFollower.js';
import { cli } from './cliRunner.js';

export const SECOND = 1000;

export async function bringUp(
  fleet: TestFleet,
  request: BringUpFollowerRequest,
  name = request.database,
): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name, databases: [request.database] };
  const started = await startRunbook(fleet.dev.temporal, 'bringUpFollower', name, request, subject);
  expect(started.wasRunning).toBe(false);
  return started.workflowId;
}

/** Under an id of the caller's choice, as from the `temporal` command line. */
export async function bringUpAs(
  client: Client,
  workflowId: string,
  request: BringUpFollowerRequest,
): Promise<void> {
  await client.workflow.start('bringUpFollower', {
    taskQueue: CONTROL_QUEUE,
    workflowId,
    args: [request],
  });
}

export type FailedEnd = Extract<RunbookEnd, { how: 'failed' }> & { readonly runbook: RunbookState };

export async function broughtUp(
  fleet: TestFleet,
  workflowId: string,
): Promise<BroughtUpFollower & { readonly runbook: RunbookState }> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  if (end.runbook === null) throw new Error(`${workflowId} left no state`);
  return { ...(end.result as BroughtUpFollower), runbook: end.runbook };
}

export async function failed(fleet: TestFleet, workflowId: string): Promise<FailedEnd> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'failed') throw new Error(`${workflowId} ended well: ${JSON.stringify(end.result)}`);
  if (end.runbook === null) throw new Error(`${workflowId} left no state: ${end.problem}`);
  return { ...end, runbook: end.runbook };
}

export function state(fleet: TestFleet, workflowId: string): Promise<RunbookState> {
  return queryRunbook(fleet.dev.temporal, { workflowId });
}

/** Waits until a step stands so, and returns the step. */
export function untilStep<S extends StepRecord['progress']['state']>(
  fleet: TestFleet,
  workflowId: string,
  wanted: { readonly state: S; readonly step?: string; readonly withinMs?: number },
): Promise<StepRecord & { readonly progress: Extract<StepRecord['progress'], { state: S }> }> {
  type Wanted = StepRecord & { readonly progress: Extract<StepRecord['progress'], { state: S }> };
  const isWanted = (step: StepRecord): step is Wanted =>
    step.progress.state === wanted.state && (wanted.step === undefined || step.name === wanted.step);
  return waitFor(async () => (await state(fleet, workflowId)).steps.find(isWanted), {
    deadlineMs: wanted.withinMs ?? 40 * SECOND,
    everyMs: 100,
    what: `a step "${wanted.step ?? 'any'}" of ${workflowId} that is ${wanted.state}`,
  });
}

/** By update, as a person does it. */
export async function move(
  fleet: TestFleet,
  workflowId: string,
  message: ControlMessage,
  reason: string,
): Promise<void> {
  const run = await cli({ ...fleet.dev.env, USER: 'ann' }, [
    'runbook',
    message,
    workflowId,
    '--reason',
    reason,
  ]);
  expect(run.err).toBe('');
  expect(run.code).toBe(0);
}

export async function redisAt<T>(
  fleet: TestFleet,
  endpoint: Endpoint,
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  return withRedis(endpoint, fleet.dev.credentials, { timeoutMs: 5 * SECOND }, use);
}

export function pidOf(fleet: TestFleet, database: string, { host }: Endpoint): number {
  const pid = fleet.pidOf(database, host);
  if (pid === null) throw new Error(`${database} does not run on ${host}`);
  return pid;
}

export async function killProcess(fleet: TestFleet, database: string, endpoint: Endpoint): Promise<void> {
  process.kill(pidOf(fleet, database, endpoint), 'SIGKILL');
  await waitFor(() => fleet.pidOf(database, endpoint.host) === null, {
    deadlineMs: 60 * SECOND,
    what: `the end of ${database} on ${endpoint.host}`,
  });
}

/** As when its disk was replaced. */
export async function loseDirectory(fleet: TestFleet, database: string, endpoint: Endpoint): Promise<void> {
  await killProcess(fleet, database, endpoint);
  rmSync(filesOf(fleet, database, endpoint).directory, { recursive: true });
}

export function filesOf(
  fleet: TestFleet,
  database: string,
  { host }: Endpoint,
): ReturnType<typeof processFiles> {
  return processFiles(fleet.dev.data.host(host), database);
}

/** A copy of the follower's data as of now, in a directory that is nobody's. */
export async function backUp(fleet: TestFleet, database: string, follower: Endpoint): Promise<string> {
  const saved = await fleet.save(database, follower);
  const folder = path.join(fleet.dev.data.root, 'backups');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${database}-${performance.now().toFixed(0)}.rdb`);
  cpSync(saved, file);
  return file;
}

export interface Story<T> {
  readonly told: T;
  /** The leader's own counter, after less before; the leader must be the same process. */
  readonly leaderForks: number;
}

/**
 * Tells a story while a writer writes, and holds its end to what every story must keep: what was acknowledged is on
 * the leader and on its follower, gates are shut, permits are given back and nobody owns the database.
 */
export async function underWrites<T>(
  fleet: TestFleet,
  database: string,
  story: () => Promise<T>,
  { rate = 200 }: { readonly rate?: number } = {},
): Promise<Story<T>> {
  const leader = await fleet.leader(database);
  const before = await fleet.facts(leader);
  const writer = await startWriter(fleet, leader, rate);
  let told: T;
  try {
    told = await story();
  } finally {
    await writer.stop();
  }
  const after = await fleet.facts(leader);
  expect(after.runId).toBe(before.runId);
  expect(writer.counts.failed).toBe(0);
  await expectAtRest(fleet, database);
  await expectHolds(fleet, writer, leader);
  await expectHolds(fleet, writer, await caughtUpFollower(fleet, database));
  return { told, leaderForks: after.totalForks - before.totalForks };
}

export async function startWriter(fleet: TestFleet, leader: Endpoint, rate = 200): Promise<Writer> {
  const writer = Writer.start({ ...fleet.application, locate: () => leader, rate });
  await waitFor(() => writer.counts.acknowledged > 20, { deadlineMs: 60 * SECOND, what: 'the first writes' });
  return writer;
}

export async function expectHolds(fleet: TestFleet, writer: Writer, where: Endpoint): Promise<void> {
  const { acknowledged, lost } = await writer.verify(where, fleet.application);
  expect(acknowledged).toBeGreaterThan(0);
  expect({ where: where.host, lost }).toEqual({ where: where.host, lost: 0 });
}

export async function caughtUpFollower(fleet: TestFleet, database: string): Promise<Endpoint> {
  const [leader, follower] = [await fleet.leader(database), await fleet.follower(database)];
  await waitFor(
    async () => {
      const [leading, following] = [await fleet.facts(leader), await fleet.facts(follower)];
      return (
        following.link?.up === true &&
        following.link.address === leader.address &&
        following.position.id === leading.position.id &&
        following.position.offset === leading.position.offset
      );
    },
    { deadlineMs: 60 * SECOND, what: `the follower of ${database} to have all that its leader has` },
  );
  return follower;
}

/** What a runbook leaves behind, however it ended. */
export async function expectAtRest(fleet: TestFleet, database: string): Promise<void> {
  const record = await fleet.record(database);
  expect(record.operation).toBeUndefined();
  expect(await permitStore(fleet.dev.consul, fleet.dev.fleet.name).list()).toEqual([]);
  const all = [record.leader, record.follower, ...(record.extraFollowers ?? [])].filter(
    (one) => one !== null,
  );
  const running = all.filter(({ host }) => fleet.pidOf(database, host) !== null);
  for (const endpoint of running) expect(await gates(fleet, endpoint)).toEqual(SHUT);
}

export const SHUT = {
  'repl-diskless-sync': 'yes',
  'repl-diskless-sync-delay': '2147483647',
  'repl-diskless-sync-max-replicas': '0',
  replicationUser: 'on',
  maySync: false,
};

export async function gates(fleet: TestFleet, endpoint: Endpoint): Promise<Record<string, unknown>> {
  return redisAt(fleet, endpoint, async (redis) => {
    const settings = await redis.config('GET', 'repl-diskless-sync*');
    const pairs = settings.flatMap((name, at) => (at % 2 === 0 ? [[name, settings[at + 1]] as const] : []));
    const users = (await redis.call('ACL', 'LIST')) as string[];
    const rules = users.find((line) => line.startsWith(`user ${REPLICATION_USER} `))?.split(' ') ?? [];
    return {
      ...Object.fromEntries(pairs.filter(([name]) => name !== 'repl-diskless-sync-period')),
      replicationUser: rules[2],
      maySync: rules.includes('+sync') || rules.includes('+@all'),
    };
  });
}

/** Bytes; of the leader's backlog. */
export async function backlogSize(fleet: TestFleet, leader: Endpoint): Promise<number> {
  return (await fleet.facts(leader)).backlog.size;
}

/**
 * Every history and every log of a fleet, without any of its three passwords.
 * @returns how many workflows were looked at
 */
export async function expectNoSecrets(fleet: TestFleet): Promise<number> {
  const { administrator, replication, application } = fleet.dev.credentials;
  const secrets = [administrator, replication, application];
  const found: string[] = [];
  const look = (where: string, text: string): void => {
    if (secrets.some((secret) => text.includes(secret))) found.push(where);
  };
  let count = 0;
  for await (const { workflowId, runId } of fleet.dev.temporal.workflow.list()) {
    const history = await fleet.dev.temporal.workflow.getHandle(workflowId, runId).fetchHistory();
    look(`history of ${workflowId}`, readable(history));
    count++;
  }
  for (const name of readdirSync(fleet.dev.data.logs))
    look(name, readFileSync(path.join(fleet.dev.data.logs, name), 'utf8'));
  for (const { name } of fleet.dev.fleet.servers.flatMap(({ hosts }) => hosts)) {
    for (const database of fleet.databases) {
      const { log } = processFiles(fleet.dev.data.host(name), database);
      try {
        look(log, readFileSync(log, 'utf8'));
      } catch {
        // Nothing ever ran there.
      }
    }
  }
  expect(found).toEqual([]);
  return count;
}

/** Payloads are bytes: shown as the text that they are. */
function readable(value: unknown): string {
  return JSON.stringify(value, (_name: string, inner: unknown) =>
    inner instanceof Uint8Array ? Buffer.from(inner).toString('utf8') : inner,
  );
}
