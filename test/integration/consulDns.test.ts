import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withRedis } from '../../src/connections/redis.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { listOwn } from '../../src/records/catalog.js';
import { recordStore } from '../../src/records/databases.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';

const MOVES = 10;
/** Of the median. Alone on a machine it is a hundredth of it; whoever only waits for the reports of agents takes five times that. */
const AT_ONCE_MS = 1_000;

let fleet: TestFleet;
let resolver: Resolver;
let database: string;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 2 });
  [database = ''] = fleet.databases;
  resolver = new Resolver({ timeout: 1_000 });
  resolver.setServers([fleet.dev.addresses.consulDns]);
  await untilDns('leader', (await fleet.leader(database)).address);
  await untilDns('follower', (await fleet.follower(database)).address);
});
afterAll(() => fleet.stop());

async function ask(role: string): Promise<readonly string[]> {
  try {
    return await resolver.resolve4(`${role}.${database}.service.consul`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOTFOUND') return [];
    throw error;
  }
}

async function untilDns(role: string, address: string): Promise<void> {
  await waitFor(async () => (await ask(role)).join() === address, {
    deadlineMs: 30_000,
    everyMs: 5,
    what: `${role}.${database}.service.consul to be ${address}`,
  });
}

/** As both hosts' agents registered the database: in development they share a Consul agent. */
async function registeredEpochs(): Promise<readonly number[]> {
  const { name } = fleet.dev.fleet;
  const { leader, follower } = await fleet.record(database);
  const own = await Promise.all(
    [leader, ...(follower ? [follower] : [])].map(({ host }) =>
      listOwn(fleet.dev.consul, { fleet: name, host }),
    ),
  );
  return own.flat().flatMap((one) => (one.database === database ? [one.epoch] : []));
}

/** A planned change of leader, as a switchover makes it, without its runbook. */
async function handOver(): Promise<DatabaseRecord> {
  const records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  const stored = await records.read(database);
  if (!stored?.record.follower) throw new Error('there is nobody to hand over to');
  const { leader, follower, epoch } = stored.record;
  const command = (endpoint: Endpoint, ...words: [string, ...string[]]): Promise<unknown> =>
    withRedis(endpoint, fleet.dev.credentials, { timeoutMs: 2_000 }, (redis) => redis.call(...words));
  await command(leader, 'CLIENT', 'PAUSE', '1500', 'WRITE');
  await command(leader, 'REPLICAOF', follower.address, String(follower.port));
  await command(follower, 'REPLICAOF', 'NO', 'ONE');
  const next = { ...stored.record, epoch: epoch + 1, leader: follower, follower: leader };
  expect(await records.compareAndSet(next, stored.modifyIndex)).toBe(true);
  await command(leader, 'CLIENT', 'UNPAUSE');
  return next;
}

describe('leader.<database>.service.consul', () => {
  it(`names the new leader at once on ${MOVES} changes, and never two`, async () => {
    const answers: (readonly string[])[] = [];
    const asking = new AbortController();
    const watcher = (async () => {
      while (!asking.signal.aborted) answers.push(await ask('leader'));
    })();
    const took: number[] = [];
    for (let n = 0; n < MOVES; n++) {
      const { leader, epoch } = await handOver();
      const began = performance.now();
      await untilDns('leader', leader.address);
      took.push(performance.now() - began);
      // The agents now register what they were ahead of: that must not be seen, either.
      await waitFor(async () => (await registeredEpochs()).every((known) => known === epoch), {
        deadlineMs: 30_000,
        what: `both agents to register epoch ${epoch}`,
      });
      const before = answers.length;
      await waitFor(() => answers.length > before + 200, {
        deadlineMs: 30_000,
        what: 'two hundred more answers',
      });
    }
    asking.abort();
    await watcher;

    expect(answers.filter((answer) => answer.length > 1)).toEqual([]);
    expect(answers.filter((answer) => answer.length === 0)).toEqual([]);
    expect(took.toSorted((a, b) => a - b)[MOVES / 2]).toBeLessThan(AT_ONCE_MS);
  });

  it('is put right when an old entry comes back that the host of it says nothing about', async () => {
    const { leader, follower } = await fleet.record(database);
    if (!follower) throw new Error('nobody follows');
    const entries: unknown = await fleet.dev.consul.call('list the entries', (client) =>
      client.catalog.service.nodes({ service: database }),
    );
    const entry = (entries as Record<string, unknown>[]).find(
      ({ ServiceAddress }) => ServiceAddress === follower.address,
    );
    const response = await fetch(`http://${fleet.dev.env['CONSUL_HTTP_ADDR'] ?? ''}/v1/catalog/register`, {
      method: 'PUT',
      body: JSON.stringify({
        Node: entry?.['Node'],
        SkipNodeUpdate: true,
        Service: {
          ID: entry?.['ServiceID'],
          Service: database,
          Tags: ['leader'],
          Address: follower.address,
          Port: follower.port,
          Meta: entry?.['ServiceMeta'],
          EnableTagOverride: true,
        },
      }),
    });
    expect(response.status).toBe(200);
    expect(await ask('leader')).toHaveLength(2);
    await untilDns('leader', leader.address);
    await untilDns('follower', follower.address);
  });

  it('and the follower is found, too, with its port', async () => {
    const { follower } = await fleet.record(database);
    await untilDns('follower', follower?.address ?? '');
    const [found] = await resolver.resolveSrv(`follower.${database}.service.consul`);
    expect(found?.port).toBe(follower?.port);
  });

  it('of a crashed leader is nobody, until another is promoted, and then that one alone', async () => {
    const { leader, follower, ...record } = await fleet.record(database);
    if (!follower) throw new Error('there is nobody to promote');
    const pid = fleet.pidOf(database, leader.host);
    if (pid === null) throw new Error('the leader does not run');
    process.kill(pid, 'SIGKILL');
    await waitFor(async () => (await ask('leader')).length === 0, {
      deadlineMs: 30_000,
      everyMs: 20,
      what: 'nobody',
    });

    await withRedis(follower, fleet.dev.credentials, { timeoutMs: 2_000 }, (redis) =>
      redis.replicaof('NO', 'ONE'),
    );
    const records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
    const stored = await records.read(database);
    const next = { ...record, epoch: record.epoch + 1, leader: follower, follower: null };
    expect(await records.compareAndSet(next, stored?.modifyIndex ?? 0)).toBe(true);
    await untilDns('leader', follower.address);
    expect(await ask('follower')).toEqual([]);
  });
});
