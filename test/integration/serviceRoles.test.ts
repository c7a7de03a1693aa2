import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consulFromEnvironment, type FleetConsul } from '../../src/connections/consul.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { registerProcess } from '../../src/records/catalog.js';
import { settleAllRoles, settleRoles } from '../../src/records/serviceRoles.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';

const ROOT = '6b1c9c7e-0000-4000-8000-0000000000bb';
const A = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
const B = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };
const C = { host: 'redis-02-b', address: '127.0.2.2', port: 6300 };

let consul: TestConsul;
/** With no more rights than deploy/consul/agent.hcl gives. */
let agent: FleetConsul;
let databases = 0;

async function ask(method: string, route: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`http://${consul.env.CONSUL_HTTP_ADDR}/v1/${route}`, {
    method,
    headers: { 'X-Consul-Token': ROOT },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${route}: ${response.status} ${await response.text()}`);
  const text = await response.text();
  return text === '' ? null : (JSON.parse(text) as unknown);
}

beforeAll(async () => {
  consul = await startTestConsul({ managementToken: ROOT });
  const file = path.resolve(import.meta.dirname, '../../deploy/consul/agent.hcl');
  await ask('PUT', 'acl/policy', { Name: 'agent', Rules: await readFile(file, 'utf8') });
  agent = await withPolicy('agent');
});
afterAll(async () => {
  agent.close();
  await consul.stop();
});

async function withPolicy(name: string): Promise<FleetConsul> {
  const token = (await ask('PUT', 'acl/token', { Policies: [{ Name: name }] })) as { SecretID: string };
  return consulFromEnvironment({ ...consul.env, CONSUL_HTTP_TOKEN: token.SecretID });
}

/** An entry of another host's Consul agent, which may be dead. */
async function registeredElsewhere(
  database: string,
  endpoint: Endpoint,
  tag: string,
  epoch: number,
  fleet = 'demo',
): Promise<void> {
  await ask('PUT', 'catalog/register', {
    Node: `node-of-${endpoint.host}`,
    Address: endpoint.address,
    Service: {
      ID: `redis-fleet/${fleet}/${endpoint.host}/${database}`,
      Service: database,
      Tags: [tag],
      Address: endpoint.address,
      Port: endpoint.port,
      Meta: { fleet, host: endpoint.host, epoch: String(epoch), 'managed-by': 'redis-fleet' },
    },
  });
}

async function tags(database: string): Promise<Record<string, string[]>> {
  const entries = (await ask('GET', `catalog/service/${database}`)) as {
    ServiceAddress: string;
    ServiceTags: string[];
  }[];
  return Object.fromEntries(entries.map((entry) => [entry.ServiceAddress, entry.ServiceTags]));
}

async function epochOf(database: string, { address }: Endpoint): Promise<string | undefined> {
  const entries = (await ask('GET', `catalog/service/${database}`)) as {
    ServiceAddress: string;
    ServiceMeta: Record<string, string>;
  }[];
  return entries.find(({ ServiceAddress }) => ServiceAddress === address)?.ServiceMeta['epoch'];
}

async function statusesOf(database: string, { address }: Endpoint): Promise<readonly string[]> {
  const entries = (await ask('GET', `health/service/${database}`)) as {
    Service: { Address: string };
    Checks: { Status: string }[];
  }[];
  return entries
    .filter(({ Service }) => Service.Address === address)
    .flatMap(({ Checks }) => Checks.map(({ Status }) => Status));
}

function record(database: string, change: Partial<DatabaseRecord>): DatabaseRecord {
  return {
    ...{ database, server: 'redis-01', epoch: 2, leader: B, follower: A },
    ...{ updatedAt: '2026-01-31T12:00:00.000Z', updatedBy: 'test' },
    ...change,
  };
}

/** As both agents registered it at epoch 1: `A` leads, and its host's agent is not this one. */
async function registered(): Promise<string> {
  const database = `sessions-0${databases++}`;
  await registeredElsewhere(database, A, 'leader', 1);
  await registerProcess(agent, { fleet: 'demo', database, role: 'follower', endpoint: B, epoch: 1 });
  await expect.poll(() => tags(database)).toEqual({ [A.address]: ['leader'], [B.address]: ['follower'] });
  return database;
}

describe('with the rights of an agent', () => {
  it('leader and follower change places at once, on a host whose agent is dead, too', async () => {
    const database = await registered();
    await settleRoles(agent, { fleet: 'demo', record: record(database, {}) });
    expect(await tags(database)).toEqual({ [A.address]: ['follower'], [B.address]: ['leader'] });
  });

  it('what its own agent registers next is the same, and changes nothing', async () => {
    const database = await registered();
    await settleRoles(agent, { fleet: 'demo', record: record(database, {}) });
    await registerProcess(agent, { fleet: 'demo', database, role: 'leader', endpoint: B, epoch: 2 });
    expect(await tags(database)).toEqual({ [A.address]: ['follower'], [B.address]: ['leader'] });
  });

  it('what a Consul agent repeats of its own, as each does now and then, brings no old leader back', async () => {
    const database = await registered();
    await registerProcess(agent, { fleet: 'demo', database, role: 'leader', endpoint: B, epoch: 2 });
    // Nothing listens there: with what its check finds, the agent repeats the whole entry, too.
    await expect.poll(() => statusesOf(database, B), { timeout: 30_000 }).toContain('critical');
    await expect.poll(() => tags(database)).toMatchObject({ [B.address]: ['leader'] });
    await settleRoles(agent, {
      fleet: 'demo',
      record: record(database, { epoch: 3, leader: A, follower: B }),
    });
    const led = { [A.address]: ['leader'], [B.address]: ['follower'] };
    expect(await tags(database)).toEqual(led);

    // A new token makes it compare everything it knows with the catalog, and repeat what differs: the epoch does.
    expect(await epochOf(database, B)).toBe('3');
    await ask('PUT', 'agent/token/default', { Token: ROOT });
    await expect.poll(() => epochOf(database, B), { timeout: 30_000 }).toBe('2');
    expect(await tags(database)).toEqual(led);
  });

  it('a leader that the record does not name at all any more is nobody', async () => {
    const database = await registered();
    await settleRoles(agent, { fleet: 'demo', record: record(database, { follower: null }) });
    expect(await tags(database)).toEqual({ [A.address]: [], [B.address]: ['leader'] });
  });

  it('an agent that is behind changes nothing', async () => {
    const database = await registered();
    await registeredElsewhere(database, C, 'leader', 3);
    await registeredElsewhere(database, A, 'follower', 3);
    await settleRoles(agent, { fleet: 'demo', record: record(database, {}) });
    expect(await tags(database)).toMatchObject({ [A.address]: ['follower'], [C.address]: ['leader'] });
  });

  it('entries of another fleet, and of others, stay', async () => {
    const database = await registered();
    await registeredElsewhere(database, C, 'leader', 1, 'other');
    await ask('PUT', 'catalog/register', {
      Node: 'somewhere',
      Address: '127.0.9.9',
      Service: { Service: database, Tags: ['leader'], Address: '127.0.9.9', Port: 1 },
    });
    await settleRoles(agent, { fleet: 'demo', record: record(database, {}) });
    expect(await tags(database)).toMatchObject({ [C.address]: ['leader'], '127.0.9.9': ['leader'] });
  });

  it('two that correct it at the same time agree', async () => {
    const database = await registered();
    const settle = () => settleRoles(agent, { fleet: 'demo', record: record(database, {}) });
    await Promise.all([settle(), settle(), settle()]);
    expect(await tags(database)).toEqual({ [A.address]: ['follower'], [B.address]: ['leader'] });
  });

  it('a database that may not be corrected holds up no other', async () => {
    const [foreign, own] = [await registered(), await registered()];
    const rules = `service "${own}" { policy = "write" }\nservice_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }`;
    await ask('PUT', 'acl/policy', { Name: 'own', Rules: rules });
    const narrow = await withPolicy('own');
    try {
      const records = [record(foreign, {}), record(own, {})];
      const unsettled = await settleAllRoles(narrow, { fleet: 'demo', records });
      expect(unsettled.map((one) => one.record.database)).toEqual([foreign]);
      expect(await tags(own)).toEqual({ [A.address]: ['follower'], [B.address]: ['leader'] });
    } finally {
      narrow.close();
    }
  });
});
