/** A real Consul agent for tests: on free loopback ports, and gone when this process is gone. */

import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { awaitConsul, consulFromEnvironment } from '../connections/consul.js';
import type { FleetConsul } from '../connections/consul.js';
import { findBinary } from '../dev/binaries.js';
import { FleetError } from '../fleet/errors.js';
import { freePorts, startGuarded, type GuardedProcess } from './guardedProcess.js';
import { waitFor } from './waiting.js';

const ADDRESS = '127.0.0.1';
const START_DEADLINE_MS = 30_000;

export interface TestConsul {
  /** What a process needs in its environment to find it. */
  readonly env: { readonly CONSUL_HTTP_ADDR: string; readonly CONSUL_HTTP_TOKEN?: string };
  readonly consul: FleetConsul;
  /** UDP and TCP, on 127.0.0.1. */
  readonly dnsPort: number;
  /** Of the agent; null while it is down. */
  pid(): number | null;
  /** kill -9. */
  kill(): Promise<void>;
  /** On the same ports; with what it held when `durable`. */
  start(): Promise<void>;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
}

export interface TestConsulOptions {
  /** Keeps its data over kill() and start(), and takes seconds longer to elect itself. */
  readonly durable?: boolean;
  /** Denies everything but to this management token. */
  readonly managementToken?: string;
}

export async function startTestConsul(options: TestConsulOptions = {}): Promise<TestConsul> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-consul-'));
  const [http = 0, dns = 0, server = 0, serfLan = 0, serfWan = 0] = await freePorts(ADDRESS, 5);
  const args = [
    'agent',
    ...(options.durable
      ? ['-server', '-bootstrap-expect=1', `-data-dir=${folder}`, '-hcl=performance { raft_multiplier = 1 }']
      : ['-dev']),
    `-bind=${ADDRESS}`,
    `-client=${ADDRESS}`,
    `-node=test-${http}`,
    '-log-level=warn',
    `-http-port=${http}`,
    `-dns-port=${dns}`,
    `-server-port=${server}`,
    `-serf-lan-port=${serfLan}`,
    `-serf-wan-port=${serfWan}`,
    '-grpc-port=-1',
    '-grpc-tls-port=-1',
    ...aclSettings(options.managementToken),
  ];
  const env = {
    CONSUL_HTTP_ADDR: `${ADDRESS}:${http}`,
    ...(options.managementToken ? { CONSUL_HTTP_TOKEN: options.managementToken } : {}),
  };
  const consul = consulFromEnvironment(env);
  let agent: GuardedProcess | null = null;

  async function start(): Promise<void> {
    agent ??= await startGuarded(findBinary('consul', process.env), args);
    const started = agent;
    await waitFor(
      async () => {
        if (started.ended()) throw new FleetError('ProcessDied', `Consul ended: ${started.lastWords()}`);
        await awaitConsul(consul, { patience: 'none' });
        return true;
      },
      { deadlineMs: START_DEADLINE_MS, what: `Consul on port ${http} to elect itself`, everyMs: 50 },
    );
  }

  async function kill(): Promise<void> {
    await agent?.end();
    agent = null;
  }

  try {
    await start();
  } catch (error) {
    await kill();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    env,
    consul,
    dnsPort: dns,
    pid: () => agent?.pid ?? null,
    kill,
    start,
    async stop() {
      await kill();
      consul.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function aclSettings(token: string | undefined): readonly string[] {
  return token
    ? [`-hcl=acl { enabled = true, default_policy = "deny", tokens { initial_management = "${token}" } }`]
    : [];
}
