import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { awaitConsul, consulFromEnvironment } from '../../src/connections/consul.js';
import { readFleetFile } from '../../src/connections/fleetFile.js';
import { createLog } from '../../src/connections/log.js';
import { rememberSecret } from '../../src/connections/redaction.js';
import { connectTemporalClient, connectTemporalWorker } from '../../src/connections/temporal.js';
import { FleetError, messageOf } from '../../src/fleet/errors.js';
import type { HostReport } from '../../src/fleet/facts.js';
import { deregisterProcess, listOwn, registerProcess } from '../../src/records/catalog.js';
import { readEntry } from '../../src/records/kv.js';
import { reportStore } from '../../src/records/reports.js';
import { startTestConsul } from '../../src/testbed/consul.js';
import type { TestConsul } from '../../src/testbed/consul.js';
import { startTestTemporal } from '../../src/testbed/temporal.js';
import type { TestTemporal } from '../../src/testbed/temporal.js';
import { waitFor } from '../../src/testbed/waiting.js';

/** Nothing listens there: a port that was free a moment ago. */
async function deafAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return `127.0.0.1:${port}`;
}

async function problem(promise: Promise<unknown>): Promise<FleetError> {
  const error: unknown = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof FleetError) return error;
  throw new Error(`expected a FleetError, got ${messageOf(error)}`);
}

/** A log that keeps its lines. */
function keptLog(env: NodeJS.ProcessEnv = {}) {
  const lines: string[] = [];
  return { lines, log: createLog('test', env, { write: (line: string) => void lines.push(line) }) };
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-connections-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('Consul that cannot be reached', () => {
  test('is a sentence that names the address and the variable', async () => {
    const address = await deafAddress();
    const consul = consulFromEnvironment({ CONSUL_HTTP_ADDR: address });
    const { kind, message } = await problem(awaitConsul(consul, { patience: 'none' }));
    expect(kind).toBe('Unreachable');
    expect(message).toBe(
      `Consul at http://${address} (CONSUL_HTTP_ADDR) could not say who leads it: connect ECONNREFUSED ${address}.`,
    );
  });

  test('is waited for with one line an attempt and no stack, until it is there', async () => {
    const agent = await startTestConsul();
    const { lines, log } = keptLog();
    try {
      await agent.kill();
      const waiting = awaitConsul(agent.consul, { patience: 'forever', log });
      await waitFor(() => lines.length > 0, { deadlineMs: 30_000, what: 'the first sentence' });
      await agent.start();
      await waiting;
      expect(lines.length).toBeLessThan(8);
      for (const line of lines) {
        expect(line).toContain('Trying again in');
        expect(line).not.toMatch(/\\n\s+at /);
      }
    } finally {
      await agent.stop();
    }
  });

  test('is given up when told to stop', async () => {
    const consul = consulFromEnvironment({ CONSUL_HTTP_ADDR: await deafAddress() });
    const { lines, log } = keptLog();
    const stop = new AbortController();
    const waiting = awaitConsul(consul, { patience: 'forever', log, signal: stop.signal });
    await waitFor(() => lines.length > 0, { deadlineMs: 30_000, what: 'the first sentence' });
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('an agent that accepts and never answers is a sentence, too', async () => {
    const silent: Server = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const consul = consulFromEnvironment({ CONSUL_HTTP_ADDR: address }, { timeoutMs: 300 });
    const { message } = await problem(awaitConsul(consul, { patience: 'none' }));
    expect(message).toContain(`Consul at http://${address}`);
    expect(message).toContain('timed out');
    consul.close();
    silent.close();
  });
});

describe("Consul's own variables", () => {
  test.each<[NodeJS.ProcessEnv, string]>([
    [{}, 'http://127.0.0.1:8500'],
    [{ CONSUL_HTTP_ADDR: '10.0.0.1:8500' }, 'http://10.0.0.1:8500'],
    [{ CONSUL_HTTP_ADDR: 'https://consul.example:8501/' }, 'https://consul.example:8501'],
    [{ CONSUL_HTTP_ADDR: 'consul.example:8501', CONSUL_HTTP_SSL: 'true' }, 'https://consul.example:8501'],
    [{ CONSUL_HTTP_ADDR: 'http://proxy.example/consul' }, 'http://proxy.example/consul'],
    [{ CONSUL_HTTP_ADDR: 'unix:///run/consul.sock' }, 'unix:///run/consul.sock'],
    [{ CONSUL_HTTP_ADDR: '127.0.0.1:8500', CONSUL_HTTP_AUTH: 'me:hidden-word' }, 'http://127.0.0.1:8500'],
  ])('%j means %s', (env, address) => {
    expect(consulFromEnvironment(env).address).toBe(address);
  });

  test.each<[NodeJS.ProcessEnv, string]>([
    [{ CONSUL_HTTP_ADDR: 'ftp://x' }, 'CONSUL_HTTP_ADDR is "ftp://x"'],
    [{ CONSUL_HTTP_ADDR: 'http://' }, 'CONSUL_HTTP_ADDR is "http://"'],
    [{ CONSUL_HTTP_SSL: 'maybe' }, 'CONSUL_HTTP_SSL is "maybe": expected true or false'],
    [{ CONSUL_HTTP_TOKEN_FILE: '/nowhere/token' }, 'CONSUL_HTTP_TOKEN_FILE names /nowhere/token'],
    [{ CONSUL_CACERT: '/nowhere/ca.pem' }, 'CONSUL_CACERT names /nowhere/ca.pem'],
    [{ CONSUL_CAPATH: '/nowhere' }, 'CONSUL_CAPATH names /nowhere'],
  ])('%j is refused at once', (env, words) => {
    expect(() => consulFromEnvironment(env)).toThrowError(words);
  });

  test('a token that may not read is named, with its variable, and is not shown', async () => {
    const token = '4c1a2f1e-0000-4000-8000-0123456789ab';
    const agent = await startTestConsul({ managementToken: token });
    try {
      const nobody = consulFromEnvironment({ CONSUL_HTTP_ADDR: agent.env.CONSUL_HTTP_ADDR });
      const denied = await problem(readEntry(nobody, 'redis-fleet/demo/fleet'));
      expect(denied.kind).toBe('WrongCredentials');
      expect(denied.message).toContain('refused to read redis-fleet/demo/fleet');
      expect(denied.message).toContain('CONSUL_HTTP_TOKEN');

      const wrong = 'ffffffff-1111-4000-8000-0123456789ab';
      const stranger = consulFromEnvironment({ ...agent.env, CONSUL_HTTP_TOKEN: wrong });
      const unknown = await problem(readEntry(stranger, 'redis-fleet/demo/fleet'));
      expect(unknown.kind).toBe('WrongCredentials');
      expect(unknown.message).not.toContain(wrong);

      const file = path.join(folder, 'token');
      await writeFile(file, `${token}\n`);
      const fromFile = consulFromEnvironment({
        CONSUL_HTTP_ADDR: agent.env.CONSUL_HTTP_ADDR,
        CONSUL_HTTP_TOKEN_FILE: file,
      });
      expect(await readEntry(fromFile, 'redis-fleet/demo/fleet')).toBeNull();
      for (const client of [nobody, stranger, fromFile]) client.close();
    } finally {
      await agent.stop();
    }
  });
});

describe('Temporal that cannot be reached', () => {
  test.each(['client', 'worker'] as const)('is a sentence for a %s', async (who) => {
    const address = await deafAddress();
    const connect = who === 'client' ? connectTemporalClient : connectTemporalWorker;
    const { kind, message } = await problem(
      connect({ TEMPORAL_ADDRESS: address, TEMPORAL_CONFIG_FILE: '/dev/null' }, { patience: 'none' }),
    );
    expect(kind).toBe('Unreachable');
    expect(message).toContain(`Temporal at ${address} (TEMPORAL_ADDRESS) cannot be reached:`);
    expect(message).not.toContain('\n');
  });

  test('the profile that named the address is in the sentence', async () => {
    const address = await deafAddress();
    const file = path.join(folder, 'temporal.toml');
    await writeFile(file, `[profile.prod]\naddress = "${address}"\nnamespace = "redis"\n`);
    const env = { TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'prod' };
    const { message } = await problem(connectTemporalClient(env, { patience: 'none' }));
    expect(message).toContain(`Temporal at ${address} (profile prod; TEMPORAL_ADDRESS would override it)`);
  });

  test('a configuration file that is no TOML is refused at once, even by the patient', async () => {
    const file = path.join(folder, 'broken.toml');
    await writeFile(file, '[profile.default\naddress=');
    const { kind, message } = await problem(
      connectTemporalWorker({ TEMPORAL_CONFIG_FILE: file }, { patience: 'forever' }),
    );
    expect(kind).toBe('InvalidRequest');
    expect(message).toContain('TEMPORAL_CONFIG_FILE');
  });
});

describe('Temporal that answers', () => {
  let temporal: TestTemporal;
  beforeAll(async () => {
    temporal = await startTestTemporal();
  });
  afterAll(async () => {
    await temporal.stop();
  });

  test('a namespace that is not there is named, with the command that makes it', async () => {
    const env = { ...temporal.env, TEMPORAL_NAMESPACE: 'elsewhere', TEMPORAL_CONFIG_FILE: '/dev/null' };
    const { message } = await problem(connectTemporalWorker(env, { patience: 'none' }));
    expect(message).toContain('no namespace "elsewhere" (TEMPORAL_NAMESPACE)');
    expect(message).toContain('temporal operator namespace create --namespace elsewhere');
  });

  test('client and worker find the namespace of the environment', async () => {
    const env = { ...temporal.env, TEMPORAL_CONFIG_FILE: '/dev/null' };
    const client = await connectTemporalClient(env, { patience: 'none' });
    expect(client.options.namespace).toBe('default');
    await client.connection.close();
    const { connection, namespace } = await connectTemporalWorker(env, { patience: 'none' });
    expect(namespace).toBe('default');
    await connection.close();
  });
});

describe('the catalog', () => {
  let agent: TestConsul;
  beforeAll(async () => {
    agent = await startTestConsul();
  });
  afterAll(async () => {
    await agent.stop();
  });

  const fleet = 'demo';
  const database = 'sessions-00';

  async function resolve(name: string): Promise<string[]> {
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${agent.dnsPort}`]);
    return await resolver.resolve4(name).catch(() => []);
  }

  test('leader.<database>.service.consul is the leader, and follows a change of roles', async () => {
    const redis = [createServer(), createServer()];
    const ports = await Promise.all(
      redis.map(async (server, at) => {
        server.listen(0, `127.0.1.${at + 1}`);
        await once(server, 'listening');
        return (server.address() as AddressInfo).port;
      }),
    );
    const a = { host: 'redis-01-a', address: '127.0.1.1', port: ports[0] ?? 0 };
    const b = { host: 'redis-01-b', address: '127.0.1.2', port: ports[1] ?? 0 };

    await registerProcess(agent.consul, { fleet, database, role: 'leader', endpoint: a, epoch: 1 });
    await registerProcess(agent.consul, { fleet, database, role: 'follower', endpoint: b, epoch: 1 });
    const leads = (address: string) =>
      waitFor(async () => (await resolve(`leader.${database}.service.consul`)).join() === address, {
        deadlineMs: 30_000,
        what: `DNS to name ${address} as the leader`,
      });
    await leads(a.address);
    expect(await resolve(`follower.${database}.service.consul`)).toEqual([b.address]);

    await registerProcess(agent.consul, { fleet, database, role: 'follower', endpoint: a, epoch: 2 });
    await registerProcess(agent.consul, { fleet, database, role: 'leader', endpoint: b, epoch: 2 });
    await leads(b.address);

    // Consul's own check of the port takes a dead process out, without any word from an agent of ours.
    redis[1]?.close();
    await waitFor(async () => (await resolve(`leader.${database}.service.consul`)).length === 0, {
      deadlineMs: 30_000,
      what: 'the dead leader to leave DNS',
    });
    redis[0]?.close();

    const own = await listOwn(agent.consul, { fleet, host: 'redis-01-a' });
    expect(own).toEqual([{ fleet, database, role: 'follower', endpoint: a, epoch: 2 }]);
    for (const endpoint of [a, b]) {
      const registration = { fleet, database, role: 'follower', endpoint, epoch: 2 } as const;
      await deregisterProcess(agent.consul, registration);
      await deregisterProcess(agent.consul, registration);
      expect(await listOwn(agent.consul, { fleet, host: endpoint.host })).toEqual([]);
    }
  });

  test('reports of hosts are listed, or read one by one, and nonsense among them is left out', async () => {
    const store = reportStore(agent.consul, fleet);
    const report: HostReport = {
      host: 'redis-01-a',
      at: '2026-01-31T12:00:00.000Z',
      memory: { total: 4, available: 2 },
      diskAvailable: 1,
      processes: [],
    };
    await store.publish(report);
    await agent.consul.call('write', (client) =>
      client.kv.set(`redis-fleet/${fleet}/hosts/redis-01-b`, 'nonsense'),
    );
    expect(await store.list()).toEqual([report]);
    expect(await store.read('redis-01-a')).toEqual(report);
    expect(await store.read('redis-01-b')).toBeNull();
    expect(await store.read('redis-01-c')).toBeNull();
  });
});

describe('the log', () => {
  test('never shows a secret, wherever it hides', () => {
    rememberSecret('correct-horse-battery');
    const { lines, log } = keptLog({ CONSUL_HTTP_TOKEN: 'token-of-the-environment' });
    log.info({ password: 'abc', nested: { masterauth: 'x', apiKey: 'k', fine: 'shown' } }, 'fields');
    log.warn('redis://admin:hunter22@127.0.0.1:6300 and requirepass=hunter23');
    log.error({ err: new Error('AUTH correct-horse-battery failed') }, 'and token-of-the-environment');
    log.info('%s', 'correct-horse-battery');
    const text = lines.join('');
    for (const secret of [
      '"abc"',
      'hunter22',
      'hunter23',
      'correct-horse',
      'token-of-the-environment',
      '"k"',
    ]) {
      expect(text).not.toContain(secret);
    }
    expect(text).toContain('"fine":"shown"');
    expect(text).not.toContain('stack');
  });

  test('REDIS_FLEET_LOG_LEVEL says how much', () => {
    const { lines, log } = keptLog({ REDIS_FLEET_LOG_LEVEL: 'warn' });
    log.info('quiet');
    log.warn('loud');
    expect(lines).toHaveLength(1);
  });
});

describe('the fleet file', () => {
  test('one that is not there is named, with the variable', async () => {
    const { kind, message } = await problem(readFleetFile({ REDIS_FLEET_FILE: '/nowhere/fleet.yaml' }));
    expect(kind).toBe('InvalidFleetFile');
    expect(message).toContain('/nowhere/fleet.yaml');
    expect(message).toContain('REDIS_FLEET_FILE');
  });
});
