import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ApplicationFailure } from '@temporalio/common';
import { Client, WorkflowFailedError } from '@temporalio/client';
import { bundleWorkflowCode } from '@temporalio/worker';
import type { WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../src/connections/log.js';
import { CONTROL_QUEUE, SEARCH_ATTRIBUTES } from '../../src/fleet/names.js';
import { permitStore } from '../../src/records/permits.js';
import type { PermitStore } from '../../src/records/permits.js';
import { startTestConsul } from '../../src/testbed/consul.js';
import type { TestConsul } from '../../src/testbed/consul.js';
import { startTestTemporal } from '../../src/testbed/temporal.js';
import type { TestTemporal } from '../../src/testbed/temporal.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { installRuntime } from '../../src/workers/runtime.js';
import { runControlWorker } from '../../src/workers/control.js';
import { startCaller } from './caller.js';

const NAMESPACE = 'fresh';
const HOST = 'redis-01-b';
const PASSWORD = 'administrators-own-password';

const FLEET_FILE = `
fleet: demo
servers:
  - name: redis-01
    hosts:
      - { name: redis-01-a, zone: az-a, address: 127.0.1.1, memory: 4GiB }
      - { name: redis-01-b, zone: az-b, address: 127.0.1.2, memory: 4GiB }
databases:
  - { name: sessions-00, server: redis-01, port: 6300, maxmemory: 256MiB }
detection: { downAfter: 1s, policy: automatic }
leases: { ttl: 5s }
backups: { every: 1h, store: "file:backups", keep: { hourly: 24, daily: 7, weekly: 4 } }
`;

let consul: TestConsul;
let temporal: TestTemporal;
let folder: string;
let env: NodeJS.ProcessEnv;
let bundle: WorkflowBundle;
let client: Client;
let permits: PermitStore;
const log: string[] = [];
let first: RunningWorker;
let workflows = 0;

interface RunningWorker {
  readonly ready: Promise<void>;
  /** Tells it to stop, and waits until it has. */
  stop(): Promise<void>;
}

function workerLog() {
  return createLog('worker', {}, { write: (line: string) => void log.push(line) });
}

function startWorker(): RunningWorker {
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  const ready = new Promise<void>((onReady, onFailure) => {
    running = runControlWorker({
      env,
      signal: stopping.signal,
      log: workerLog(),
      workflowBundle: bundle,
      onReady,
    });
    running.catch(onFailure);
  });
  // Awaited by whoever needs it.
  ready.catch(() => undefined);
  return {
    ready,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

beforeAll(async () => {
  installRuntime(workerLog());
  [consul, temporal, folder, bundle] = await Promise.all([
    startTestConsul(),
    startTestTemporal({ durable: true }),
    mkdtemp(path.join(os.tmpdir(), 'redis-fleet-worker-')),
    bundleWorkflowCode({ workflowsPath: fileURLToPath(new URL('./workerWorkflows.ts', import.meta.url)) }),
  ]);
  await promisify(execFile)(temporal.binary, [
    ...['operator', 'namespace', 'create', '--address', temporal.address, '--namespace', NAMESPACE],
  ]);
  const [fleetFile, credentials] = [path.join(folder, 'fleet.yaml'), path.join(folder, 'credentials.json')];
  await writeFile(fleetFile, FLEET_FILE);
  const passwords = {
    administrator: PASSWORD,
    replication: 'another-password',
    application: 'third-password',
  };
  await writeFile(credentials, JSON.stringify(passwords));
  await chmod(credentials, 0o600);
  env = {
    ...consul.env,
    ...temporal.env,
    TEMPORAL_NAMESPACE: NAMESPACE,
    TEMPORAL_CONFIG_FILE: '/dev/null',
    REDIS_FLEET_FILE: fleetFile,
    REDIS_FLEET_CREDENTIALS: credentials,
  };
  client = new Client({ connection: temporal.client.connection, namespace: NAMESPACE });
  permits = permitStore(consul.consul, 'demo');
});
afterAll(async () => {
  await first.stop();
  await Promise.all([consul.stop(), temporal.stop()]);
  await rm(folder, { recursive: true, force: true });
});

async function start(type: string, argument: unknown) {
  workflows += 1;
  return await client.workflow.start(type, {
    taskQueue: CONTROL_QUEUE,
    workflowId: `${type}-${workflows}`,
    args: [argument],
  });
}

async function failureOf(promise: Promise<unknown>): Promise<ApplicationFailure> {
  const error: unknown = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof WorkflowFailedError && error.cause?.cause instanceof ApplicationFailure) {
    return error.cause.cause;
  }
  throw new Error(`expected a failed activity, got ${String(error)}`);
}

/** A runbook that holds the permit of HOST until it dies. */
async function holdPermit() {
  const holder = await startCaller({ consul: consul.consul, client, fleet: 'demo' });
  await holder.activities.acquireForkPermit({
    host: HOST,
    database: 'sessions-01',
    reason: 'held',
    waitMs: 30_000,
  });
  return holder;
}

describe('a control worker', () => {
  test('waits for Consul and for Temporal, saying so, and then serves a namespace that knew nothing of it', async () => {
    await Promise.all([consul.kill(), temporal.kill()]);
    first = startWorker();
    await waitFor(() => log.some((line) => line.includes('Consul at')), {
      deadlineMs: 30_000,
      what: 'a word on Consul',
    });
    await consul.start();
    await waitFor(() => log.some((line) => line.includes('Temporal at')), {
      deadlineMs: 30_000,
      what: 'a word on Temporal',
    });
    await temporal.start();
    await first.ready;
    for (const line of log) expect(line).not.toMatch(/\\n\s+at /);
    const { customAttributes } = await client.connection.operatorService.listSearchAttributes({
      namespace: NAMESPACE,
    });
    expect(Object.keys(customAttributes)).toEqual(expect.arrayContaining(Object.keys(SEARCH_ATTRIBUTES)));
  });

  test('refuses a wrong argument at once, naming the field', async () => {
    const handle = await start('check', { databse: 'sessions-00' });
    const refused = await failureOf(handle.result());
    expect(refused).toMatchObject({ type: 'InvalidRequest', nonRetryable: true });
    expect(refused.message).toContain('databse');
  });

  test('keeps an activity alive that says nothing for longer than its heartbeat timeout', async () => {
    const holder = await holdPermit();
    const handle = await start('takePermit', { host: HOST, waitMs: 7_000 });
    const refused = await failureOf(handle.result());
    expect(refused).toMatchObject({ type: 'PermitHeld' });
    const { events } = await handle.fetchHistory();
    expect(events?.filter((event) => event.activityTaskTimedOutEventAttributes)).toEqual([]);
    const started = events?.flatMap((event) => event.activityTaskStartedEventAttributes ?? []);
    expect(started?.map(({ attempt }) => attempt)).toEqual([1]);
    await holder.die();
  });

  test('lets a cancellation reach an activity that waits', async () => {
    const holder = await holdPermit();
    const handle = await start('takePermit', { host: HOST, waitMs: 60_000 });
    await waitForActivity(handle.workflowId);
    const asked = performance.now();
    await handle.cancel();
    expect(await handle.result()).toBe('cancelled');
    expect(performance.now() - asked).toBeLessThan(10_000);
    await holder.die();
  });

  test('hands back what it cannot finish when it stops, and another worker goes on', async () => {
    const holder = await holdPermit();
    const handle = await start('takePermit', { host: HOST, waitMs: 100_000 });
    await waitForActivity(handle.workflowId);
    const asked = performance.now();
    await first.stop();
    expect(performance.now() - asked).toBeLessThan(20_000);

    first = startWorker();
    await first.ready;
    await holder.die();
    expect(await handle.result()).toBe('taken');
    expect(await permits.read(HOST)).toBeNull();
  });

  test('never wrote a password into its log or a history', async () => {
    expect(log.join('')).not.toContain(PASSWORD);
    for (let at = 1; at <= workflows; at += 1) {
      const id = (await listIds()).find((known) => known.endsWith(`-${at}`));
      const history = id ? await client.workflow.getHandle(id).fetchHistory() : null;
      expect(JSON.stringify(history)).not.toContain(PASSWORD);
    }
  });
});

async function waitForActivity(workflowId: string): Promise<void> {
  await waitFor(
    async () =>
      (await client.workflow.getHandle(workflowId).describe()).raw.pendingActivities?.some(
        (a) => a.lastStartedTime,
      ),
    { deadlineMs: 20_000, what: `an activity of ${workflowId} to run` },
  );
}

async function listIds(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { workflowId } of client.workflow.list()) ids.push(workflowId);
  return ids;
}
