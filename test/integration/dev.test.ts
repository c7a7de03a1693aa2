import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCredentials } from '../../src/connections/credentials.js';
import { withRedis } from '../../src/connections/redis.js';
import { identify, isAlive } from '../../src/dev/processIdentity.js';
import type { ProcessIdentity } from '../../src/dev/processIdentity.js';
import { parseProcessFacts } from '../../src/fleet/processFacts.js';
import type { ProcessFacts } from '../../src/fleet/facts.js';
import { processFiles } from '../../src/host/layout.js';
import { findRedis } from '../../src/host/procfs.js';
import { openClient } from '../../src/testbed/clients.js';
import { waitFor } from '../../src/testbed/waiting.js';

const MAIN = path.resolve(import.meta.dirname, '../../dist/cli/main.js');
const NETWORK = `127.${randomInt(16, 250)}.${randomInt(0, 256)}`;
const LEADER = { host: 'redis-01-a', address: `${NETWORK}.11`, port: 6300 };
const FOLLOWER = { host: 'redis-01-b', address: `${NETWORK}.12`, port: 6300 };
const BOTH = [LEADER, FOLLOWER] as const;

const run = promisify(execFile);

/** `redis-fleet dev` as an engineer has it, in a folder of its own. */
class Dev {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'redis-fleet-dev-'));
  readonly data = path.join(this.folder, 'data');
  readonly file = path.join(this.folder, 'fleet.yaml');
  process: ChildProcess | null = null;
  output = '';

  constructor() {
    this.write(LEADER.address);
  }

  write(leaderAddress: string): void {
    writeFileSync(
      this.file,
      `fleet: dev-test
servers:
  - name: redis-01
    hosts:
      - { name: redis-01-a, zone: az-a, address: ${leaderAddress}, memory: 1GiB }
      - { name: redis-01-b, zone: az-b, address: ${FOLLOWER.address}, memory: 1GiB }
databases:
  - { name: sessions-00, server: redis-01, port: 6300, maxmemory: 64MiB }
`,
    );
  }

  get arguments(): string[] {
    return [MAIN, 'dev', '--json', '--file', this.file, '--data', this.data];
  }

  /** Until it says that it is ready. */
  async start(): Promise<void> {
    this.output = '';
    const child = spawn(process.execPath, this.arguments, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    await waitFor(() => this.output.includes('{"ready":') || child.exitCode !== null, {
      deadlineMs: 90_000,
      what: `redis-fleet dev`,
    });
    expect(this.output).toContain('{"ready":');
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return null;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
    return child.exitCode;
  }

  /** The children that dev has noted. */
  children(): ReadonlyMap<string, ProcessIdentity> {
    const pids = path.join(this.data, 'pids');
    return new Map(
      readdirSync(pids).flatMap((name) => {
        const identity = identify(Number(readFileSync(path.join(pids, name), 'utf8').split(' ')[0]));
        return identity ? [[path.basename(name, '.pid'), identity] as const] : [];
      }),
    );
  }

  redisPid(host: string): number | null {
    return findRedis(processFiles(path.join(this.data, 'hosts', host), 'sessions-00'));
  }

  facts(endpoint: (typeof BOTH)[number]): Promise<ProcessFacts> {
    return withRedis(endpoint, this.credentials(), { timeoutMs: 2000 }, async (redis) =>
      parseProcessFacts(await redis.info()),
    );
  }

  async set(key: string, value: string): Promise<void> {
    const client = openClient(LEADER, { password: this.credentials().application }, 2000);
    await client.connect();
    await client.set(key, value);
    client.disconnect();
  }

  async get(where: (typeof BOTH)[number], key: string): Promise<string | null> {
    const client = openClient(where, { password: this.credentials().application }, 2000);
    try {
      await client.connect();
      return await client.get(key);
    } finally {
      client.disconnect();
    }
  }

  credentials(): ReturnType<typeof readCredentials> {
    return readCredentials({ REDIS_FLEET_CREDENTIALS: path.join(this.data, 'credentials.json') });
  }

  async remove(): Promise<void> {
    await this.end('SIGTERM');
    for (const { host } of BOTH) {
      const pid = this.redisPid(host);
      if (pid !== null) process.kill(pid, 'SIGKILL');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe('redis-fleet dev', () => {
  const dev = new Dev();

  beforeAll(() => dev.start(), 120_000);
  afterAll(() => dev.remove(), 60_000);

  it('provisions what the file describes, and says how to use it from another shell', async () => {
    await dev.set('a', '1');
    await waitFor(async () => (await dev.get(FOLLOWER, 'a')) === '1', {
      deadlineMs: 30_000,
      what: 'the follower',
    });

    expect(statSync(path.join(dev.data, 'credentials.json')).mode & 0o777).toBe(0o600);
    const script = `source ${path.join(dev.data, 'env')} && redis-fleet status --json`;
    const { stdout } = await run('bash', ['-c', script]);
    expect(JSON.parse(stdout)).toMatchObject({ fleet: 'dev-test' });
  });

  it('refuses a second one on the same data, and leaves the first alone', async () => {
    const second = run(process.execPath, dev.arguments);
    await expect(second).rejects.toMatchObject({ stderr: expect.stringContaining('runs on') as unknown });
    expect(dev.process?.exitCode).toBeNull();
    expect(dev.children().size).toBe(5);
  });

  it('starts a worker, an agent, Consul and Temporal again when they die, but never Redis', async () => {
    const before = dev.children();
    const follower = dev.redisPid(FOLLOWER.host);
    if (follower !== null) process.kill(follower, 'SIGKILL');
    for (const { pid } of before.values()) process.kill(pid, 'SIGKILL');
    await waitFor(
      () => {
        const now = dev.children();
        return [...before].every(([name, { pid }]) => (now.get(name)?.pid ?? pid) !== pid);
      },
      { deadlineMs: 20_000, what: 'other processes' },
    );

    expect(dev.output).toMatch(/"worker ended \(SIGKILL\); it is started again in 0.5 s/);
    const script = `source ${path.join(dev.data, 'env')} && redis-fleet bring-up sessions-00`;
    await waitFor(
      () => run('bash', ['-c', `source ${path.join(dev.data, 'env')} && redis-fleet runbook list`]),
      {
        deadlineMs: 30_000,
        what: 'Temporal',
      },
    );
    expect(dev.redisPid(FOLLOWER.host)).toBeNull();
    await run('bash', ['-c', script]);
    expect(dev.redisPid(FOLLOWER.host)).not.toBeNull();
    expect((await dev.facts(LEADER)).totalForks).toBe(0);
  });

  it('saves all data when it stops, and a later one starts it again without a single fork', async () => {
    await dev.set('b', '2');
    const children = dev.children();
    expect(await dev.end('SIGTERM')).toBe(0);
    expect([...children.values()].filter(isAlive)).toEqual([]);
    expect(BOTH.map(({ host }) => dev.redisPid(host))).toEqual([null, null]);

    await dev.start();

    expect(await Promise.all(BOTH.map((where) => dev.get(where, 'b')))).toEqual(['2', '2']);
    const [leader, follower] = await Promise.all(BOTH.map((where) => dev.facts(where)));
    expect(leader).toMatchObject({ role: 'leader', totalForks: 0 });
    expect(follower).toMatchObject({ role: 'follower', totalForks: 0, link: { up: true } });
    expect(leader?.replicas).toMatchObject([{ state: 'online' }]);
  });

  it('killed hard, leaves no child behind but Redis, which the next one finds', async () => {
    const children = dev.children();
    const pids = BOTH.map(({ host }) => dev.redisPid(host));
    await dev.end('SIGKILL');
    await waitFor(() => ![...children.values()].some(isAlive), {
      deadlineMs: 30_000,
      what: 'the end of all children',
    });
    expect(BOTH.map(({ host }) => dev.redisPid(host))).toEqual(pids);

    await dev.start();

    expect(await dev.get(FOLLOWER, 'b')).toBe('2');
    expect(BOTH.map(({ host }) => dev.redisPid(host))).toEqual(pids);
  });

  it('does not start a leader that it did not stop in order, and says so', async () => {
    await dev.end('SIGKILL');
    const pid = dev.redisPid(LEADER.host);
    if (pid !== null) process.kill(pid, 'SIGKILL');

    await dev.start();

    expect(dev.output).toContain('sessions-00 is down: its leader on redis-01-a');
    expect(dev.redisPid(LEADER.host)).toBeNull();
    expect(dev.redisPid(FOLLOWER.host)).not.toBeNull();
  });
});

describe('redis-fleet dev refuses', () => {
  const dev = new Dev();
  afterAll(() => dev.remove());

  it('hosts whose addresses are not loopback, before anything is started', async () => {
    dev.write('10.0.0.1');
    const refused = run(process.execPath, dev.arguments);
    await expect(refused).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('redis-01-a has the address 10.0.0.1') as unknown,
    });
    expect(readdirSync(dev.folder)).toEqual(['fleet.yaml']);
  });
});
