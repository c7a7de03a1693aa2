import { randomInt } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withRedis } from '../../src/connections/redis.js';
import { GATE_A_SHUT } from '../../src/fleet/gates.js';
import { consulKeys } from '../../src/fleet/names.js';
import type { StatusView } from '../../src/fleet/statusView.js';
import { startDev } from '../../src/dev/startDev.js';
import type { DevFleet } from '../../src/dev/startDev.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { fleetStore } from '../../src/records/fleet.js';
import { recordStore } from '../../src/records/databases.js';
import { put, readEntry } from '../../src/records/kv.js';
import { reportStore } from '../../src/records/reports.js';
import { cli } from './cliRunner.js';
import type { CliRun } from './cliRunner.js';

const DATABASE = 'sessions-00';
const BRING_UP = `bringUpFollower/${DATABASE}`;

let fleet: DevFleet;
let stop = (): Promise<void> => Promise.resolve();

beforeAll(async () => {
  const data = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-cli-'));
  const file = path.join(data, 'fleet.yaml');
  await writeFile(file, fleetFile(`127.${randomInt(16, 250)}.${randomInt(0, 256)}`));
  fleet = await startDev({ file, data, apply: true, ephemeral: true });
  stop = () => fleet.stop();
  await untilWell();
  // The first backups begin with the first apply.
  await waitFor(async () => (await redisFleet('check')).code === 0, {
    deadlineMs: 20_000,
    everyMs: 200,
    what: 'the first backups',
  });
});
afterAll(async () => {
  await stop();
});

function redisFleet(...parameters: string[]): Promise<CliRun> {
  return cli({ ...fleet.env, USER: 'ann' }, parameters);
}

function json(run: CliRun): unknown {
  return JSON.parse(run.out);
}

async function untilWell(): Promise<void> {
  await waitFor(async () => (await redisFleet('status')).code === 0, {
    deadlineMs: 30_000,
    everyMs: 300,
    what: 'the status of the fleet to be well',
  });
}

async function killFollower(): Promise<void> {
  const reports = await reportStore(fleet.consul, 'cli').list();
  const follower = reports
    .find(({ host }) => host === 'redis-01-b')
    ?.processes.find(({ database }) => database === DATABASE);
  const pid = follower?.pid ?? null;
  if (pid === null) throw new Error(`The follower of ${DATABASE} does not run.`);
  process.kill(pid, 'SIGKILL');
  await waitFor(async () => (await redisFleet('status')).out.includes('(stopped)'), {
    deadlineMs: 30_000,
    everyMs: 300,
    what: 'the report of the dead follower',
  });
}

function fleetFile(network: string): string {
  return `fleet: cli
servers:
  - name: redis-01
    hosts:
      - { name: redis-01-a, zone: az-a, address: ${network}.1, memory: 4GiB }
      - { name: redis-01-b, zone: az-b, address: ${network}.2, memory: 4GiB }
databases:
  - { name: sessions-00, server: redis-01, port: 6300, maxmemory: 64MiB }
  - { name: sessions-01, server: redis-01, port: 6301, maxmemory: 64MiB }
backups: { every: 7d }
`;
}

describe('a fleet that stands', () => {
  test('is well by status and check, also as JSON', async () => {
    const view = json(await redisFleet('status', '--json')) as StatusView;
    expect(view.well).toBe(true);
    expect(view.databases[0]).toMatchObject({
      database: DATABASE,
      epoch: 1,
      leader: { state: 'running', role: 'leader', totalForks: 0 },
      follower: { state: 'running', role: 'follower' },
      backup: { age: expect.any(Number) as number },
    });
    expect(view.databases[0]?.lag).toBeGreaterThanOrEqual(0);
    expect(view.servers[0]?.hosts.map(({ report }) => report)).toEqual(['fresh', 'fresh']);
    const text = await redisFleet('status');
    expect(text.out).toContain(' ago');
    const check = await redisFleet('check');
    expect(check.out).toBe('All is well: 2 databases of fleet cli looked at.\n');
    expect(check.code).toBe(0);
  });

  test('is not changed by applying its file again', async () => {
    const store = fleetStore(fleet.consul, 'cli');
    const before = await store.read();
    const plan = await redisFleet('plan');
    expect(plan.out).toBe('Nothing to do: fleet cli is as its file describes it.\n');
    const apply = await redisFleet('apply', '--json');
    expect(json(apply)).toMatchObject({ stored: false, runbooks: [], plan: { changes: [] } });
    expect(apply.code).toBe(0);
    expect((await store.read())?.modifyIndex).toBe(before?.modifyIndex);
  });

  test('shows how its provisioning went', async () => {
    const show = await redisFleet('runbook', 'show', 'provisionServer/redis-01');
    expect(show.code).toBe(0);
    expect(show.out).toContain('Provision a server: provisionServer/redis-01 (done');
    expect(show.out).toContain('"leaderForks":0');
    const again = await redisFleet('provision', 'redis-01', '--json');
    expect(json(again)).toMatchObject({
      end: 'well',
      result: { provisioned: [], leftAlone: ['sessions-00', 'sessions-01'] },
    });
    const list = await waitFor(
      async () => {
        const run = await redisFleet('runbook', 'list');
        return run.out.includes('completed') ? run : null;
      },
      { deadlineMs: 30_000, what: 'Temporal to list the runbook' },
    );
    expect(list.out).toContain('provisionServer/redis-01');
  });

  test('says what is not there, and what was probably meant', async () => {
    const show = await redisFleet('runbook', 'show', 'provisionServer/redis-02');
    expect(show.err).toContain('Did you mean provisionServer/redis-01?');
    expect(show.code).toBe(1);
    const server = await redisFleet('provision', 'redis-1');
    expect(server.err).toContain('has no server redis-1. Did you mean redis-01?');
    const database = await redisFleet('bring-up', 'sesions-00');
    expect(database.err).toContain('Did you mean sessions-00?');
    const ended = await redisFleet('runbook', 'retry', 'provisionServer/redis-01', '--reason', 'why not');
    expect(ended.err).toContain('"retry" makes no sense: provisionServer/redis-01 ended');
    expect(ended.code).toBe(1);
  });

  test('is shown without Temporal too, which is said plainly', async () => {
    const run = await cli({ ...fleet.env, TEMPORAL_ADDRESS: '127.0.0.1:1' }, ['status', '--json']);
    const view = json(run) as StatusView;
    expect(view.temporal.reachable).toBe(false);
    expect(view.problems[0]).toContain('Temporal at 127.0.0.1:1 (TEMPORAL_ADDRESS) cannot be reached');
    expect(view.problems[0]).toContain('Databases serve without it');
    expect(view.databases[0]?.leader?.state).toBe('running');
    expect(run.code).toBe(1);
  });

  test('a gate that somebody opened by hand is found by the check', async () => {
    const stored = await recordStore(fleet.consul, 'cli').read(DATABASE);
    if (stored === null) throw new Error(`There is no record of ${DATABASE}.`);
    const { leader } = stored.record;
    const gate = 'repl-diskless-sync-delay';
    const set = (value: string): Promise<unknown> =>
      withRedis(leader, fleet.credentials, { timeoutMs: 3_000 }, (redis) => redis.config('SET', gate, value));
    await set('5');
    try {
      const check = await redisFleet('check');
      expect(check.out).toContain(`FAIL  A gate of ${DATABASE} on redis-01-a`);
      expect(check.out).toContain(`is open (${gate} is 5), and no runbook owns the database`);
      expect(check.code).toBe(1);
    } finally {
      await set(GATE_A_SHUT[gate]);
    }
    expect((await redisFleet('check')).code).toBe(0);
  });

  test('survives a record that was edited into nonsense, and says which', async () => {
    const key = consulKeys('cli').database('sessions-01');
    const entry = await readEntry(fleet.consul, key);
    if (entry === null) throw new Error(`Consul has no ${key}.`);
    await put(fleet.consul, key, { leader: 'me' });
    try {
      const plan = await redisFleet('plan');
      expect(plan.out).toContain('database sessions-01  is left alone: ');
      const status = await redisFleet('status');
      expect(status.code).toBe(1);
      expect(status.out).toContain(key);
      const apply = await redisFleet('apply', '--json');
      expect(json(apply)).toMatchObject({ runbooks: [] });
    } finally {
      await put(fleet.consul, key, JSON.parse(entry.text));
    }
  });
});

describe('a runbook that waits for a person', () => {
  test('a detached one goes on by itself, and a second start follows the first', async () => {
    await killFollower();
    const detached = await redisFleet('bring-up', DATABASE, '--detach', '--json');
    expect(json(detached)).toMatchObject({ workflowId: BRING_UP, wasRunning: false, end: 'detached' });
    const followed = json(await redisFleet('bring-up', DATABASE, '--json')) as { end: string };
    expect(followed.end).toBe('well');
    await untilWell();
    expect((await redisFleet('check')).code).toBe(0);
  });

  test('is shown by every command, refuses what makes no sense, and is moved on', async () => {
    await killFollower();
    const broken = await redisFleet('check');
    expect(broken.out).toContain(`FAIL  The follower of ${DATABASE}`);
    expect(broken.code).toBe(1);

    const waiting = await redisFleet('bring-up', DATABASE, '--way', 'full');
    expect(waiting.out).toContain('synchronise from the leader: waits for approval.');
    expect(waiting.out).toContain(`redis-fleet runbook approve ${BRING_UP} --reason 'why'`);
    expect(waiting.code).toBe(1);

    const show = await redisFleet('runbook', 'show', BRING_UP);
    expect(show.out).toContain('Bring up a follower: bringUpFollower/sessions-00 (waiting');
    expect(show.code).toBe(1);

    const owned = json(await redisFleet('status', '--json')) as StatusView;
    expect(owned.databases[0]?.runbook?.workflowId).toBe(BRING_UP);

    const retry = await redisFleet('runbook', 'retry', BRING_UP, '--reason', 'hurry');
    expect(retry.err).toContain('"retry" makes no sense now');
    expect(retry.code).toBe(1);

    const abort = await redisFleet('runbook', 'abort', BRING_UP, '--reason', 'a better way', '--by', 'bob');
    expect(abort.out).toContain('took "abort"');
    expect(abort.code).toBe(0);
    const aborted = await waitFor(
      async () => {
        const run = await redisFleet('runbook', 'show', BRING_UP, '--json');
        return run.out.includes('"end": "failed"') ? run : null;
      },
      { deadlineMs: 30_000, what: 'the aborted runbook to end' },
    );
    expect(aborted.out).toContain('a better way');
    expect(aborted.code).toBe(1);

    expect((await redisFleet('bring-up', DATABASE)).code).toBe(0);
    await untilWell();
  });

  test('whoever stops waiting leaves it running', async () => {
    const left = new AbortController();
    left.abort();
    const run = await cli(fleet.env, ['bring-up', DATABASE], left.signal);
    expect(run.out).toContain(`goes on by itself; see: redis-fleet runbook show ${BRING_UP}`);
    expect(run.code).toBe(1);
    await waitFor(async () => (await redisFleet('runbook', 'show', BRING_UP)).out.includes('ended well'), {
      deadlineMs: 30_000,
      what: 'the runbook that nobody waits for',
    });
  });

  test('a fork that was approved beforehand is done, and the check mentions it', async () => {
    await killFollower();
    const run = await redisFleet(
      'bring-up',
      DATABASE,
      '--way',
      'full',
      '--approve-fork',
      '--reason',
      'a test',
    );
    expect(run.out).toContain('Forks of the leader during this runbook: 1');
    expect(run.code).toBe(0);
    await untilWell();
    const check = await waitFor(
      async () => {
        const checked = await redisFleet('check');
        return checked.out.includes('has forked once') ? checked : null;
      },
      { deadlineMs: 20_000, what: 'the report of the fork' },
    );
    expect(check.out).toContain('note  The leader of sessions-00');
    expect(check.code).toBe(0);
  });
});
