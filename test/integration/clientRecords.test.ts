import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectFleet, consulFromEnvironment, NoLeader } from '../../src/client/index.js';
import type { ConnectOptions, DatabaseOptions, FleetConnection } from '../../src/client/index.js';
import { consulKeys } from '../../src/fleet/names.js';
import { put } from '../../src/records/kv.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import {
  DATABASE,
  FLEET,
  followed,
  PASSWORD,
  promote,
  startStage,
  switchOver,
  type Stage,
} from './clientStage.js';

const run = promisify(execFile);
const PROJECT = path.resolve(import.meta.dirname, '../..');

let stage: Stage;
let fleets: FleetConnection[] = [];
let folder: string;

beforeAll(async () => {
  stage = await startStage();
  folder = await mkdtemp(path.join(tmpdir(), 'redis-fleet-known-'));
});
afterAll(async () => {
  await stage.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(() => stage.begin());
afterEach(async () => {
  for (const fleet of fleets) fleet.close();
  fleets = [];
  await stage.consul.start();
});

function connect(options: Partial<ConnectOptions> = {}): FleetConnection {
  const fleet = connectFleet({ fleet: FLEET, consul: stage.consul.consul, ...options });
  fleets.push(fleet);
  return fleet;
}

function client(options: DatabaseOptions = {}): Redis {
  return connect().redis(DATABASE, { password: PASSWORD, ...options });
}

/** Whether this client talks to a follower, as Redis says. */
async function roleOf(redis: Redis): Promise<unknown> {
  return (await redis.role())[0];
}

describe('Consul is away', () => {
  test('clients go on with the leader that they know, and follow again once it is back', async () => {
    const fleet = connect();
    const open = (): Redis => fleet.redis(DATABASE, { password: PASSWORD });
    const writer = Writer.start({ open, password: PASSWORD, rate: 500 });
    await waitFor(() => writer.counts.acknowledged > 100, { deadlineMs: 30_000, what: 'writes' });
    await stage.consul.kill();
    const { acknowledged } = writer.counts;
    await waitFor(() => writer.counts.acknowledged > acknowledged + 500, {
      deadlineMs: 30_000,
      what: 'more writes',
    });
    // A connection made during the outage, too.
    expect(await fleet.redis(DATABASE, { password: PASSWORD }).ping()).toBe('PONG');

    await stage.consul.start();
    await switchOver(stage, stage.a, stage.b);
    await waitFor(async () => (await stage.b.clients()) >= 2, {
      deadlineMs: 30_000,
      what: 'both to have moved',
    });
    const counts = await writer.stop();
    expect(counts.failed).toBe(0);
    expect(await writer.verify(stage.b.endpoint)).toMatchObject({ lost: 0 });
  });

  test('a leader that hangs after it is left soon after Consul is back, although nobody refuses anything', async () => {
    const redis = client();
    await redis.ping();
    await stage.consul.kill();
    // Long enough for the blocking query to pause for seconds.
    const outage = performance.now();
    await waitFor(() => performance.now() - outage > 4_000, {
      deadlineMs: 30_000,
      what: 'four seconds to pass',
    });
    stage.a.freeze();
    const hanging = redis.set('k', 'v').catch((problem: unknown) => problem);
    await stage.consul.start();
    await promote(stage, stage.b);
    const began = performance.now();
    expect(await hanging).toMatchObject({ name: 'OutcomeUnknown' });
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  test('a process that starts meanwhile uses the last known state of an earlier one', async () => {
    const file = path.join(folder, 'known.json');
    const before = connect({ lastKnownFile: file });
    expect(await before.redis(DATABASE, { password: PASSWORD }).set('k', 'v')).toBe('OK');
    await waitFor(async () => (await readFile(file, 'utf8')).includes(DATABASE), {
      deadlineMs: 30_000,
      what: 'the file',
    });
    await stage.consul.kill();

    const [now, without] = [connect({ lastKnownFile: file }), connect()];
    expect(await now.redis(DATABASE, { password: PASSWORD }).get('k')).toBe('v');
    const error: unknown = await without
      .redis(DATABASE, { password: PASSWORD, maxWaitMs: 500 })
      .get('k')
      .catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(NoLeader);
    expect(String(error)).toContain('ECONNREFUSED');
  });
});

describe('a record that helps nobody', () => {
  test('spoilt by hand, or removed: the last good one holds', async () => {
    const redis = client();
    await redis.ping();
    const good = await stage.record();
    const key = consulKeys(FLEET).database(DATABASE);
    await put(stage.consul.consul, key, { ...good, leader: 'redis-01-b, please' });
    expect(await redis.set('k', 'v')).toBe('OK');
    await put(stage.consul.consul, key, good);
    await switchOver(stage, stage.a, stage.b);
    expect(await redis.set('k', 'w')).toBe('OK');
    expect(await stage.b.admin.get('k')).toBe('w');
  });

  test('none at all: NoLeader says which key is missing', async () => {
    const redis = connect().redis('nobody-knows', { password: PASSWORD, maxWaitMs: 300 });
    await expect(redis.get('k')).rejects.toThrow(
      /Consul has no record of nobody-knows \(redis-fleet\/test\/databases\/nobody-knows\)/,
    );
  });

  test('none yet: commands wait for it', async () => {
    const redis = connect().redis('comes-later', { password: PASSWORD });
    const value = redis.set('k', 'v');
    await stage.changeRecord(stage.a, null, { database: 'comes-later' });
    expect(await value).toBe('OK');
  });
});

describe('reads from the follower', () => {
  test('go where the record names it, and move along with every change', async () => {
    const reader = client({ role: 'follower' });
    expect(await roleOf(reader)).toBe('slave');
    await switchOver(stage, stage.a, stage.b);
    await followed(stage.b, stage.a);
    await waitFor(async () => (await stage.a.clients()) === 1, {
      deadlineMs: 30_000,
      what: 'the reader to move',
    });
    await stage.b.admin.set('k', 'v');
    await waitFor(async () => (await reader.get('k')) === 'v', { deadlineMs: 30_000, what: 'the value' });
    expect(await roleOf(reader)).toBe('slave');
    await expect(reader.set('k', 'w')).rejects.toThrow(/READONLY/);
  });

  test('fall back to the leader while the follower is away, and return to it', async () => {
    const reader = client({ role: 'follower' });
    expect(await roleOf(reader)).toBe('slave');
    await stage.b.kill();
    expect(await roleOf(reader)).toBe('master');
    await stage.b.start('--replicaof', `${stage.a.endpoint.address} ${stage.a.endpoint.port}`);
    await waitFor(async () => (await roleOf(reader)) === 'slave', {
      deadlineMs: 30_000,
      what: 'the reader to return',
    });
  });

  test('fall back to the leader when there is no follower', async () => {
    await stage.changeRecord(stage.a, null);
    const reader = client({ role: 'follower' });
    expect(await roleOf(reader)).toBe('master');
    await stage.changeRecord(stage.a, stage.b);
    await waitFor(async () => (await roleOf(reader)) === 'slave', {
      deadlineMs: 30_000,
      what: 'the reader to move',
    });
  });

  test('the reader of a promoted follower finds that it is the leader, and stays', async () => {
    const reader = client({ role: 'follower' });
    await reader.ping();
    await stage.a.kill();
    await promote(stage, stage.b);
    await waitFor(async () => (await roleOf(reader)) === 'master', {
      deadlineMs: 30_000,
      what: 'its answer',
    });
  });
});

describe('many', () => {
  test('fifty clients of one process move with one blocking query', async () => {
    const fleet = connect();
    const clients = Array.from({ length: 50 }, () => fleet.redis(DATABASE, { password: PASSWORD }));
    await Promise.all(clients.map((one) => one.ping()));
    await switchOver(stage, stage.a, stage.b);
    const began = performance.now();
    const values = await Promise.all(clients.map((one) => one.incr('n')));
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(new Set(values).size).toBe(50);
    expect(await stage.b.clients()).toBe(50);
    fleet.close();
    await waitFor(async () => (await stage.b.clients()) === 0, {
      deadlineMs: 30_000,
      what: 'all to be gone',
    });
  });
});

describe('the package', () => {
  const program = `
    import { connectFleet, consulFromEnvironment } from 'redis-fleet/client';
    const fleet = connectFleet({ fleet: '${FLEET}', consul: consulFromEnvironment(process.env) });
    const redis = fleet.redis('${DATABASE}', { password: '${PASSWORD}' });
    await redis.set('from', 'outside');
    console.log(await redis.get('from'));
    fleet.close();
  `;

  test('is imported as redis-fleet/client, and its process ends once it is closed', async () => {
    const env = { ...process.env, ...stage.consul.env };
    const options = { cwd: PROJECT, env, timeout: 20_000 };
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], options);
    expect(stdout).toBe('outside\n');
  });

  test('brings its types along', async () => {
    const manifest = JSON.parse(await readFile(path.join(PROJECT, 'package.json'), 'utf8')) as {
      exports: { './client': { types: string } };
    };
    const types = await readFile(path.join(PROJECT, manifest.exports['./client'].types), 'utf8');
    expect(types).toContain('connectFleet');
    expect(typeof consulFromEnvironment).toBe('function');
  });
});
