/** A real Temporal server for tests: on free loopback ports, and gone when this process is gone. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection } from '@temporalio/worker';
import { findBinary } from '../dev/binaries.js';
import { FleetError } from '../fleet/errors.js';
import { SEARCH_ATTRIBUTES } from '../fleet/names.js';
import { freePorts, startGuarded, type GuardedProcess } from './guardedProcess.js';
import { waitFor } from './waiting.js';

const ADDRESS = '127.0.0.1';
const START_DEADLINE_MS = 30_000;
const START_ATTEMPTS = 5;
const NAMESPACE = 'default';
const CLI_TYPES = { KEYWORD: 'Keyword', KEYWORD_LIST: 'KeywordList' } as const;
/** The API's numbers for the same. */
const API_TYPES = { KEYWORD: 2, KEYWORD_LIST: 7 } as const;

export interface TestTemporal {
  /** `host:port` */
  readonly address: string;
  /** What a process needs in its environment to find it. */
  readonly env: { readonly TEMPORAL_ADDRESS: string; readonly TEMPORAL_NAMESPACE: string };
  readonly client: Client;
  /** For workers. */
  readonly nativeConnection: NativeConnection;
  /** The `temporal` tool, for commands as a person would give them. */
  readonly binary: string;
  /** Of the server; null while it is down. */
  pid(): number | null;
  /** kill -9. */
  kill(): Promise<void>;
  /** On the same port; with what it held when `durable`. */
  start(): Promise<void>;
  /** Closes the connections (end the workers first), ends the server and removes its files. */
  stop(): Promise<void>;
}

/**
 * The development server, with the fleet's search attributes.
 * @param options `durable`: keeps its data over kill() and start()
 * @throws NotFound without the `temporal` tool, Unreachable when it does not answer in time
 */
export async function startTestTemporal(options: { readonly durable?: boolean } = {}): Promise<TestTemporal> {
  const binary = findBinary('temporal', process.env);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-temporal-'));
  const [port = 0] = await freePorts(ADDRESS, 1);
  const address = `${ADDRESS}:${port}`;
  const parameters = [
    ...['server', 'start-dev', '--headless', '--log-level', 'error', '--ip', ADDRESS, '--port', String(port)],
    ...(options.durable === true ? ['--db-filename', path.join(folder, 'temporal.db')] : []),
    ...Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => [
      '--search-attribute',
      `${name}=${CLI_TYPES[type]}`,
    ]),
  ];
  let server: GuardedProcess | null = null;

  async function start(): Promise<void> {
    server ??= await startGuarded(binary, parameters);
    const started = server;
    await waitFor(() => answers(address, started), {
      deadlineMs: START_DEADLINE_MS,
      what: `Temporal at ${address} to answer`,
    });
  }

  async function kill(): Promise<void> {
    await server?.end();
    server = null;
  }

  try {
    await start();
    const connection = await Connection.connect({ address });
    const nativeConnection = await NativeConnection.connect({ address });
    return {
      address,
      env: { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: NAMESPACE },
      client: new Client({ connection, namespace: NAMESPACE }),
      nativeConnection,
      binary,
      pid: () => server?.pid ?? null,
      kill,
      start,
      async stop() {
        await connection.close();
        await nativeConnection.close();
        await kill();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await kill();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The test server, whose clock jumps over what nobody works in. It knows less than a real one (no search, no CLI):
 * for stories of minutes. End it with `teardown()`. @throws NotFound
 */
export async function startTimeSkippingTemporal(): Promise<TestWorkflowEnvironment> {
  const binary = findBinary('temporal-test-server', process.env);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-temporal-'));
  const guarded = path.join(folder, 'temporal-test-server');
  await writeFile(guarded, watched(binary), { mode: 0o755 });
  const environment = await startedWithin(START_ATTEMPTS, () =>
    TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path: guarded } },
    }),
  ).finally(() => rm(folder, { recursive: true, force: true }));
  try {
    // It knows how to add them, and not how to list them.
    const attributes = Object.entries(SEARCH_ATTRIBUTES).map(
      ([name, type]) => [name, API_TYPES[type]] as const,
    );
    await environment.connection.operatorService.addSearchAttributes({
      namespace: NAMESPACE,
      searchAttributes: Object.fromEntries(attributes),
    });
    return environment;
  } catch (error) {
    await environment.teardown();
    throw error;
  }
}

/** The SDK gives a server five seconds to come up, which a busy machine does not always keep. */
async function startedWithin<T>(attempts: number, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (attempts <= 1) throw error;
    return startedWithin(attempts - 1, start);
  }
}

/** The SDK starts this one, so we hold no pipe to it: it looks whether we live, and stays the process that is killed. */
function watched(binary: string): string {
  return `#!/bin/sh
parent=$PPID
self=$$
(while kill -0 "$parent" && kill -0 "$self"; do sleep 1; done; kill -KILL "$self") </dev/null >/dev/null 2>&1 &
exec '${binary.replaceAll("'", `'\\''`)}' "$@"
`;
}

/** A namespace that answers, too: the port is open before it does. */
async function answers(address: string, server: GuardedProcess): Promise<boolean> {
  if (server.ended()) throw new FleetError('ProcessDied', `Temporal ended: ${server.lastWords()}`);
  const connection = await Connection.connect({ address, connectTimeout: 1000 });
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({
      namespace: NAMESPACE,
    });
    return Object.keys(SEARCH_ATTRIBUTES).every((name) => name in customAttributes);
  } finally {
    await connection.close();
  }
}
