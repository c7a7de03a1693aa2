/** The host agent on real Redis, Consul and Temporal: what it tells others, and that Redis does not hang on it. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { WorkflowFailedError } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessSpec } from '../../src/activities/contracts.js';
import { hostQueue } from '../../src/fleet/names.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { processFiles } from '../../src/host/layout.js';
import { findRedis } from '../../src/host/procfs.js';
import { listOwn } from '../../src/records/catalog.js';
import { ABSENT, recordStore } from '../../src/records/databases.js';
import { reportStore } from '../../src/records/reports.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';
import { startTestTemporal, type TestTemporal } from '../../src/testbed/temporal.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { startTwice } from './agentWorkflows.js';
import { CREDENTIALS, freePort, stageHost, type HostStage } from './hostStage.js';

const HOST = 'redis-09-a';
const FLEET = 'agent-test';
/** Well under the time between two reports: it reacted, and did not just come around. */
const AT_ONCE_MS = 2_500;

let consul: TestConsul;
let temporal: TestTemporal;
let folder: string;
let host: HostStage;
const agents: Agent[] = [];
let workflowBundle: { code: string };

Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: {} });

beforeAll(async () => {
  workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./agentWorkflows.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  [consul, temporal] = await Promise.all([startTestConsul({ durable: true }), startTestTemporal()]);
  folder = mkdtempSync(path.join(tmpdir(), 'redis-fleet-agent-'));
  writeFileSync(path.join(folder, 'credentials.json'), JSON.stringify(CREDENTIALS));
  chmodSync(path.join(folder, 'credentials.json'), 0o600);
  writeFileSync(
    path.join(folder, 'fleet.yaml'),
    `fleet: ${FLEET}
servers:
  - name: redis-09
    hosts:
      - { name: redis-09-a, zone: az-a, address: 127.0.9.1, memory: 4GiB }
      - { name: redis-09-b, zone: az-b, address: 127.0.9.2, memory: 4GiB }
databases:
  - { name: sessions-00, server: redis-09, port: 6300, maxmemory: 64MiB }
`,
  );
});

afterAll(async () => {
  await temporal.stop();
  await consul.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  host = await stageHost({ host: HOST });
});

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.kill();
  await host.end();
  const store = recordStore(consul.consul, FLEET);
  for (const { record, modifyIndex } of (await store.list()).records)
    await store.compareAndDelete(record.database, modifyIndex);
  for (const { database } of await registered())
    await consul.consul.call('tidy up', (client) =>
      client.agent.service.deregister(`redis-fleet/${FLEET}/${HOST}/${database}`),
    );
});

interface Agent {
  readonly process: ChildProcess;
  log(): string;
  /** Polls its queue. */
  ready(): Promise<void>;
  kill(): Promise<void>;
}

function startAgent(
  env: Partial<Record<string, string>> = {},
  args: readonly string[] = ['--host', HOST],
): Agent {
  const child = spawn(
    process.execPath,
    [
      path.resolve('node_modules/vite-node/vite-node.mjs'),
      '--script',
      path.resolve('test/integration/agentMain.ts'),
      'agent',
      ...args,
      '--data',
      host.settings.data,
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        ...consul.env,
        ...temporal.env,
        REDIS_FLEET_FILE: path.join(folder, 'fleet.yaml'),
        REDIS_FLEET_CREDENTIALS: path.join(folder, 'credentials.json'),
        ...env,
      },
    },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const agent: Agent = {
    process: child,
    log: () => log,
    async ready() {
      await waitFor(() => log.includes(`polls task queue ${hostQueue(HOST)}`), {
        deadlineMs: 60_000,
        what: `the agent to poll; its log: ${log}`,
      });
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
  agents.push(agent);
  return agent;
}

/** As a runbook would: a workflow of the control queue that calls the host's activities. */
async function runStartTwice(workflowId: string, process: ProcessSpec): ReturnType<typeof startTwice> {
  const worker = await Worker.create({
    connection: temporal.nativeConnection,
    taskQueue: 'agent-test',
    workflowBundle,
  });
  return worker.runUntil(
    temporal.client.workflow.execute<typeof startTwice>('startTwice', {
      taskQueue: 'agent-test',
      workflowId,
      args: [{ queue: hostQueue(HOST), process }],
    }),
  );
}

const registered = () => listOwn(consul.consul, { fleet: FLEET, host: HOST });

async function roles(): Promise<Record<string, string>> {
  return Object.fromEntries(
    (await registered()).map(({ database, role, epoch }) => [database, `${role} ${epoch}`]),
  );
}

async function writeRecord(changes: Partial<DatabaseRecord> & Pick<DatabaseRecord, 'leader' | 'follower'>) {
  const store = recordStore(consul.consul, FLEET);
  const stored = await store.read('sessions-00');
  const record: DatabaseRecord = {
    database: 'sessions-00',
    server: 'redis-09',
    epoch: 1,
    updatedAt: new Date().toISOString(),
    updatedBy: 'test',
    ...changes,
  };
  expect(await store.compareAndSet(record, stored?.modifyIndex ?? ABSENT)).toBe(true);
}

async function expectRoles(expected: Record<string, string>, deadlineMs = AT_ONCE_MS): Promise<void> {
  await waitFor(async () => JSON.stringify(await roles()) === JSON.stringify(expected), {
    deadlineMs,
    what: `the catalog to say ${JSON.stringify(expected)}`,
  }).catch(async () => expect(await roles()).toEqual(expected));
}

describe('an agent', () => {
  it('keeps the catalog to the record, at once, and to what lives', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    const here = host.endpoint(spec);
    const there = { host: 'redis-09-b', address: '127.0.9.2', port: spec.port };
    const agent = startAgent();
    await agent.ready();
    const report = await waitFor(
      async () => (await reportStore(consul.consul, FLEET).list()).find((found) => found.host === HOST),
      { deadlineMs: 30_000, what: 'a report' },
    );
    expect(report.memory.available).toBeGreaterThan(0);
    expect(report.processes).toMatchObject([
      {
        database: 'sessions-00',
        state: 'running',
        pid,
        endpoint: here,
        facts: { role: 'follower', totalForks: 0 },
      },
    ]);
    // Nobody leads yet: nobody is sent there.
    await writeRecord({ epoch: 0, leader: here, follower: null });
    await writeRecord({ epoch: 1, leader: here, follower: there });
    await expectRoles({ 'sessions-00': 'leader 1' });
    // The process itself still believes to follow: the record decides.
    await writeRecord({ epoch: 2, leader: there, follower: here });
    await expectRoles({ 'sessions-00': 'follower 2' });
    await writeRecord({ epoch: 3, leader: here, follower: there });
    await expectRoles({ 'sessions-00': 'leader 3' });
    // Edited into nonsense: what was known stays.
    const key = `redis-fleet/${FLEET}/databases/sessions-00`;
    await consul.consul.call('break the record', (client) => client.kv.set(key, '{"leader":'));
    await waitFor(() => agent.log().includes(key), { deadlineMs: 30_000, what: 'a word about it' });
    expect(await roles()).toEqual({ 'sessions-00': 'leader 3' });
    await consul.consul.call('mend it', (client) => client.kv.del(key));
    await writeRecord({ epoch: 4, leader: here, follower: there });
    await expectRoles({ 'sessions-00': 'leader 4' });

    process.kill(pid, 'SIGKILL');
    await expectRoles({});
    await waitFor(
      async () => {
        const [last] = await reportStore(consul.consul, FLEET).list();
        return last?.processes[0]?.state === 'stopped' && last.processes[0].lastWords !== null;
      },
      { deadlineMs: 30_000, what: 'a report of its death' },
    );
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBeNull();
    expect(agent.log()).toContain('is not restarted');
    for (const secret of Object.values(CREDENTIALS)) expect(agent.log()).not.toContain(secret);
  });

  it('may be killed or stopped at any time: Redis runs on, and the next agent finds it', async () => {
    const spec = host.spec('sessions-00');
    const here = host.endpoint(spec);
    const first = startAgent();
    await first.ready();
    // Started by the agent itself, so that it is its child.
    const answer = await runStartTwice('start-twice', spec);
    expect(answer).toMatchObject({ started: [true, false] });
    const pid = findRedis(processFiles(host.settings.data, 'sessions-00'));
    expect(pid).not.toBeNull();

    await first.kill();
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBe(pid);
    await writeRecord({ leader: here, follower: null });
    const second = startAgent();
    await second.ready();
    await expectRoles({ 'sessions-00': 'leader 1' });

    const ended = once(second.process, 'exit');
    second.process.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(second.log()).toContain('its Redis processes run on');
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBe(pid);
    expect(await roles()).toEqual({ 'sessions-00': 'leader 1' });
  });

  it('hands a failure to the workflow with its kind and in words', async () => {
    await host.activities.startProcess({ process: host.spec('carts-00'), allowEmpty: true });
    const agent = startAgent();
    await agent.ready();
    const thief = host.spec('sessions-00', { port: host.spec('carts-00').port });
    const failure: unknown = await runStartTwice('port-in-use', thief).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WorkflowFailedError);
    const cause = failure instanceof WorkflowFailedError ? failure.cause : null;
    expect(cause).toBeInstanceOf(ActivityFailure);
    const root = cause instanceof ActivityFailure ? cause.cause : null;
    expect(root).toBeInstanceOf(ApplicationFailure);
    expect(root).toMatchObject({ type: 'PortInUse', nonRetryable: true });
    expect(root?.message).toContain('the port is in use');
  });

  it('lives through an outage of Consul, says so once, and is heard again afterwards', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await writeRecord({ leader: host.endpoint(spec), follower: null });
    const agent = startAgent();
    await agent.ready();
    await expectRoles({ 'sessions-00': 'leader 1' }, 10_000);

    await consul.kill();
    await waitFor(() => agent.log().includes('Redis serves on'), {
      deadlineMs: 30_000,
      what: 'a word about it',
    });
    await consul.start();
    await waitFor(() => agent.log().includes('answers again'), { deadlineMs: 30_000, what: 'its return' });
    expect(agent.log().match(/Redis serves on/g)).toHaveLength(1);
    await writeRecord({ epoch: 2, leader: host.endpoint(spec), follower: null });
    await expectRoles({ 'sessions-00': 'leader 2' }, 30_000);
    expect((await host.facts(spec)).totalForks).toBe(0);
  });
});

describe('an agent that starts while something is away', () => {
  it('waits for Temporal in words, reports meanwhile, and still obeys a signal', async () => {
    const address = `127.0.0.1:${await freePort('127.0.0.1')}`;
    const agent = startAgent({ TEMPORAL_ADDRESS: address });
    await waitFor(() => (agent.log().match(/Trying again/g) ?? []).length >= 2, {
      deadlineMs: 60_000,
      what: 'two tries',
    });
    expect(agent.log()).toContain(`Temporal at ${address} (TEMPORAL_ADDRESS) cannot be reached`);
    expect(agent.log()).not.toMatch(/^\s+at /m);
    const ended = once(agent.process, 'exit');
    agent.process.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  it('waits for Consul in words, once', async () => {
    const address = `127.0.0.1:${await freePort('127.0.0.1')}`;
    const agent = startAgent({ CONSUL_HTTP_ADDR: address });
    await agent.ready();
    await waitFor(() => agent.log().includes('Redis serves on'), {
      deadlineMs: 20_000,
      what: 'a word about Consul',
    });
    expect(agent.log()).toContain(`Consul at http://${address} (CONSUL_HTTP_ADDR)`);
    expect(agent.log()).not.toMatch(/^\s+at /m);
  });

  it.each([
    [
      'a host that the fleet does not have',
      {},
      ['--host', 'redis-99-z'],
      /has no host "redis-99-z". Its hosts are redis-09-a, redis-09-b/,
    ],
    [
      'no credentials',
      { REDIS_FLEET_CREDENTIALS: '' },
      ['--host', HOST],
      /REDIS_FLEET_CREDENTIALS is not set/,
    ],
    [
      'no fleet file',
      { REDIS_FLEET_FILE: '/nowhere/fleet.yaml' },
      ['--host', HOST],
      /fleet file \/nowhere\/fleet.yaml cannot be read/,
    ],
  ] as const)('ends at once, and in words, with %s', async (_what, env, args, words) => {
    const agent = startAgent(env, args);
    const [code] = (await once(agent.process, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(agent.log()).toMatch(words);
    expect(agent.log()).not.toMatch(/^\s+at /m);
  });

  it('refuses credentials that everybody may read', async () => {
    const open = path.join(folder, 'open.json');
    writeFileSync(open, JSON.stringify(CREDENTIALS));
    chmodSync(open, 0o644);
    const agent = startAgent({ REDIS_FLEET_CREDENTIALS: open });
    await once(agent.process, 'exit');
    expect(agent.log()).toContain(`chmod 600 ${open}`);
    expect(agent.log()).not.toContain(CREDENTIALS.administrator);
  });
});
