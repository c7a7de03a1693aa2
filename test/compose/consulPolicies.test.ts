/** deploy/consul/*.hcl on a real Consul: each of the three may do its work, and no more. */

import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consulKeys } from '../../src/fleet/names.js';
import { PROJECT } from './project.js';

const CONSUL = process.env['REDIS_FLEET_BIN_CONSUL'] ?? 'consul';
const LOOPBACK = '127.0.0.1';
const ROOT_TOKEN = '6b1c9c7e-0000-4000-8000-0000000000aa';
const keys = consulKeys('demo');

let folder: string;
let consul: ChildProcess;
let ended: Promise<void>;
let http: string;
const tokens = new Map<string, string>();

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, LOOPBACK, () => {
            resolve(server);
          });
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function ask(token: string, method: string, route: string, body?: unknown): Promise<Response> {
  return fetch(`${http}/v1/${route}`, {
    method,
    headers: { 'X-Consul-Token': token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** The HTTP status of a call with the token of one of the three. */
async function as(who: string, method: string, route: string, body?: unknown): Promise<number> {
  return (await ask(tokens.get(who) ?? '', method, route, body)).status;
}

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'consul-policies-'));
  const [httpPort = 0, server = 0, serf = 0] = await freePorts(3);
  http = `http://${LOOPBACK}:${httpPort}`;
  const settings = {
    data_dir: path.join(folder, 'data'),
    server: true,
    bootstrap_expect: 1,
    bind_addr: LOOPBACK,
    client_addr: LOOPBACK,
    ports: { http: httpPort, server, serf_lan: serf, serf_wan: -1, dns: -1, grpc: -1, grpc_tls: -1 },
    acl: {
      enabled: true,
      default_policy: 'deny',
      tokens: { initial_management: ROOT_TOKEN, agent: ROOT_TOKEN },
    },
  };
  writeFileSync(path.join(folder, 'consul.json'), JSON.stringify(settings));
  const started = spawn(CONSUL, ['agent', '-config-file', path.join(folder, 'consul.json')], {
    stdio: 'ignore',
  });
  consul = started;
  ended = new Promise((resolve) => {
    started.on('exit', () => {
      resolve();
    });
  });

  const deadline = performance.now() + 40_000;
  const answers = () =>
    ask(ROOT_TOKEN, 'GET', 'acl/token/self').then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await answers())) {
    if (performance.now() > deadline) throw new Error('Consul did not answer within 40 s');
    await delay(100);
  }
  for (const who of ['worker', 'agent', 'application']) {
    const rules = readFileSync(path.join(PROJECT, `deploy/consul/${who}.hcl`), 'utf8');
    // As the comment in the file says it, and as an engineer would type it.
    const command = /^#\s+consul (acl policy create .*)$/m.exec(rules)?.[1]?.split(' ') ?? [];
    const created = spawnSync(CONSUL, command, {
      cwd: PROJECT,
      encoding: 'utf8',
      env: { ...process.env, CONSUL_HTTP_ADDR: http, CONSUL_HTTP_TOKEN: ROOT_TOKEN },
    });
    expect(created.stderr).toBe('');
    expect(created.status).toBe(0);
    const answer = await ask(ROOT_TOKEN, 'PUT', 'acl/token', { Policies: [{ Name: `redis-fleet-${who}` }] });
    tokens.set(who, ((await answer.json()) as { SecretID: string }).SecretID);
  }
  await ask(ROOT_TOKEN, 'PUT', `kv/${keys.database('sessions-00')}`, { leader: null });
}, 90_000);

afterAll(async () => {
  consul.kill('SIGKILL');
  await ended;
  rmSync(folder, { recursive: true, force: true });
});

const REGISTRATION = { Name: 'sessions-00', ID: 'x', Tags: ['leader'], Address: '127.0.0.9', Port: 6300 };

describe('Consul policies', () => {
  it('let a worker change all of its fleet, and nothing else', async () => {
    for (const key of [
      keys.fleet,
      keys.database('carts-00'),
      keys.permit('redis-01-a'),
      keys.backup('carts-00'),
    ]) {
      expect(await as('worker', 'PUT', `kv/${key}`, {}), key).toBe(200);
    }
    expect(await as('worker', 'DELETE', `kv/${keys.database('carts-00')}`)).toBe(200);
    expect(await as('worker', 'GET', `kv/${keys.databases}?recurse`)).toBe(200);
    expect(await as('worker', 'PUT', `kv/${consulKeys('other').fleet}`, {})).toBe(403);
    expect(await as('worker', 'PUT', `acl/policy`, { Name: 'more' })).toBe(403);
  });

  it('let a worker correct who leads in the catalog', async () => {
    const { Name: Service, ID, Address, Port } = REGISTRATION;
    expect(await as('agent', 'PUT', 'agent/service/register', REGISTRATION)).toBe(200);
    expect(await as('worker', 'GET', `catalog/service/${Service}`)).toBe(200);
    const self = (await (await ask(ROOT_TOKEN, 'GET', 'agent/self')).json()) as {
      Config: { NodeName: string };
    };
    const node = self.Config.NodeName;
    const corrected = { ID, Service, Address, Port, Tags: [] };
    expect(
      await as('worker', 'PUT', 'txn', [{ Service: { Verb: 'set', Node: node, Service: corrected } }]),
    ).toBe(200);
    // A transaction that is not allowed is rolled back, says Consul.
    const forbidden = [{ Service: { Verb: 'set', Node: node, Service: { ...corrected, Tags: ['leader'] } } }];
    expect(await as('application', 'PUT', 'txn', forbidden)).toBe(409);
    expect(await as('agent', 'PUT', 'agent/service/deregister/x')).toBe(200);
  });

  it('let an agent read the records, report, renew its lease and keep the catalog, but change no record', async () => {
    expect(await as('agent', 'GET', `kv/${keys.databases}?recurse`)).toBe(200);
    expect(await as('agent', 'PUT', `kv/${keys.report('redis-01-a')}`, {})).toBe(200);
    expect(await as('agent', 'PUT', `kv/${keys.memory('redis-01-a')}`, {})).toBe(200);
    expect(await as('agent', 'PUT', `kv/${keys.lease('redis-01-a')}?cas=0`, {})).toBe(200);
    expect(await as('agent', 'PUT', 'agent/service/register', REGISTRATION)).toBe(200);
    expect(await as('agent', 'GET', 'agent/services')).toBe(200);
    expect(await as('agent', 'PUT', 'agent/service/deregister/x')).toBe(200);
    expect(await as('agent', 'PUT', `kv/${keys.database('sessions-00')}`, {})).toBe(403);
    expect(await as('agent', 'PUT', `kv/${keys.fleet}`, {})).toBe(403);
  });

  it('let an agent back up: take the right to fork, and record what was verified, but not what a drill found', async () => {
    expect(await as('agent', 'PUT', `kv/${keys.permit('redis-01-a')}`, {})).toBe(200);
    expect(await as('agent', 'PUT', `kv/${keys.backup('sessions-00')}`, {})).toBe(200);
    expect(await as('agent', 'PUT', `kv/${keys.drill('sessions-00')}`, {})).toBe(403);
  });

  it('let an application read who leads, and nothing more', async () => {
    expect(await as('application', 'GET', `kv/${keys.databases}?recurse`)).toBe(200);
    expect(await as('application', 'GET', 'health/service/sessions-00')).toBe(200);
    expect(await as('application', 'PUT', `kv/${keys.database('sessions-00')}`, {})).toBe(403);
    expect(await as('application', 'GET', `kv/${keys.fleet}`)).toBe(403);
    expect(await as('application', 'PUT', 'agent/service/register', REGISTRATION)).toBe(403);
  });
});
