/** A real Consul agent for tests: on free loopback ports, and gone when this process is gone. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { awaitConsul, consulFromEnvironment } from '../connections/consul.js';
import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { waitFor } from './waiting.js';

const ADDRESS = '127.0.0.1';
const START_DEADLINE_MS = 30_000;
const KEPT_LINES = 20;

/** Kills the agent when the pipe from us closes, which also happens when we are killed. */
const GUARDIAN = '"$@" </dev/null & echo "$!"; read -r _; kill -KILL "$!" 2>/dev/null; wait "$!"';

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
  const [http, dns, server, serfLan, serfWan] = await freePorts(5);
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
  let agent: Agent | null = null;

  async function start(): Promise<void> {
    agent ??= await startAgent(args);
    const started = agent;
    await waitFor(
      async () => {
        if (started.ended()) throw new FleetError('ProcessDied', started.lastWords());
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

interface Agent {
  readonly pid: number;
  ended(): boolean;
  lastWords(): string;
  end(): Promise<void>;
}

async function startAgent(args: readonly string[]): Promise<Agent> {
  const binary = process.env['REDIS_FLEET_BIN_CONSUL'] ?? 'consul';
  const guardian = spawn('/bin/sh', ['-c', GUARDIAN, 'consul', binary, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const keep = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  };
  createInterface(guardian.stderr).on('line', keep);
  const output = createInterface(guardian.stdout);
  const [first] = (await once(output, 'line')) as [string];
  output.on('line', keep);
  const pid = Number(first);
  return {
    pid,
    ended: () => !isAlive(pid),
    lastWords: () => `Consul ended: ${lines.join('\n')}`,
    end: () => endGuardian(guardian),
  };
}

async function endGuardian(guardian: ChildProcess): Promise<void> {
  if (guardian.exitCode !== null || guardian.signalCode !== null) return;
  const gone = once(guardian, 'exit');
  guardian.stdin?.end();
  await gone;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Held open together, so that they differ. */
async function freePorts(count: 5): Promise<[number, number, number, number, number]>;
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, ADDRESS);
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}
