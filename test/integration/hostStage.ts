/** A host of a test: its own directory, address and passwords, and no process left behind. */

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { backupAccess } from '../../src/backups/access.js';
import { hostActivities } from '../../src/activities/hostProcesses.js';
import type { ProcessActivities, ProcessSpec } from '../../src/activities/contracts.js';
import type { Credentials } from '../../src/connections/credentials.js';
import { withRedis, type Redis } from '../../src/connections/redis.js';
import type { ProcessFacts } from '../../src/fleet/facts.js';
import { parseProcessFacts } from '../../src/fleet/processFacts.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { listDatabases, processFiles } from '../../src/host/layout.js';
import { findRedis } from '../../src/host/procfs.js';
import { redisProcesses, type RedisProcesses } from '../../src/host/processes.js';
import { redisCheckRdbProgram, redisServerProgram, type HostSettings } from '../../src/host/settings.js';
import { waitFor } from '../../src/testbed/waiting.js';

const MiB = 1024 * 1024;

export const CREDENTIALS: Credentials = {
  administrator: 'administrator-secret-7f3a',
  replication: 'replication-secret "quoted" \\ 9c1d',
  application: 'application-secret-5b2e',
};

export interface HostStage {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly activities: ProcessActivities;
  spec(database: string, changes?: Partial<ProcessSpec>): ProcessSpec;
  use<T>(spec: ProcessSpec, work: (redis: Redis) => Promise<T>): Promise<T>;
  facts(spec: ProcessSpec): Promise<ProcessFacts>;
  endpoint(spec: ProcessSpec): Endpoint;
  /** Makes a process the leader of an empty database. */
  lead(spec: ProcessSpec): Promise<void>;
  /** Another agent over the same directory: as after a restart. */
  again(): HostStage;
  end(): Promise<void>;
}

export async function freePort(address: string): Promise<number> {
  const server = createServer().listen({ host: address, port: 0 });
  await once(server, 'listening');
  const at = server.address();
  server.close();
  await once(server, 'close');
  if (at === null || typeof at === 'string') throw new Error('no port');
  return at.port;
}

export async function stageHost(
  options: { readonly host?: string; readonly address?: string; readonly data?: string } = {},
): Promise<HostStage> {
  const address = options.address ?? '127.0.9.1';
  const data = options.data ?? (await mkdtemp(path.join(tmpdir(), 'redis-fleet-host-')));
  const ports = new Map<string, number>();
  const settings: HostSettings = {
    host: options.host ?? 'redis-09-a',
    address,
    memory: 64 * 1024 ** 3,
    data,
    credentials: CREDENTIALS,
    redisServer: redisServerProgram(process.env),
  };
  const reserved: number[] = [];
  for (let i = 0; i < 4; i++) reserved.push(await freePort(address));
  return makeStage(settings, (database) => {
    const port = ports.get(database) ?? reserved.pop();
    if (port === undefined) throw new Error('this stage has four ports');
    ports.set(database, port);
    return port;
  });
}

function makeStage(settings: HostSettings, portOf: (database: string) => number): HostStage {
  const processes = redisProcesses(settings);
  const endpoint = (spec: ProcessSpec): Endpoint => ({
    host: settings.host,
    address: settings.address,
    port: spec.port,
  });
  const use = <T>(spec: ProcessSpec, work: (redis: Redis) => Promise<T>): Promise<T> =>
    withRedis(endpoint(spec), settings.credentials, { timeoutMs: 5_000 }, work);
  return {
    settings,
    processes,
    activities: hostActivities({
      settings,
      processes,
      backups: backupAccess({}),
      redisCheckRdb: redisCheckRdbProgram(process.env),
    }),
    endpoint,
    use,
    spec: (database, changes = {}) => ({
      database,
      port: portOf(database),
      maxmemory: 64 * MiB,
      backlogBytes: 16 * MiB,
      ...changes,
    }),
    facts: (spec) => use(spec, async (redis) => parseProcessFacts(await redis.info())),
    async lead(spec) {
      await use(spec, (redis) => redis.call('REPLICAOF', 'NO', 'ONE'));
    },
    again: () => makeStage(settings, portOf),
    async end() {
      for (const database of await listDatabases(settings.data)) {
        const pid = findRedis(processFiles(settings.data, database));
        if (pid === null) continue;
        process.kill(pid, 'SIGKILL');
        await gone(pid);
      }
      await rm(settings.data, { recursive: true, force: true });
    },
  };
}

/** Waits until a killed process is gone. */
export async function gone(pid: number): Promise<void> {
  await waitFor(
    () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    },
    { deadlineMs: 30_000, what: `the end of process ${pid}` },
  );
}
