/** Nothing that a process does on its own makes a leader fork or a follower lose its data. */

import { spawn } from 'node:child_process';
import process from 'node:process';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPLICATION_USER } from '../../src/fleet/gates.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { redisServerProgram } from '../../src/host/settings.js';
import { openClient } from '../../src/testbed/clients.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { messageOf } from '../../src/fleet/errors.js';
import {
  backUp,
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectHolds,
  expectNoSecrets,
  failed,
  filesOf,
  gates,
  killProcess,
  redisAt,
  SECOND,
  SHUT,
  startWriter,
  underWrites,
  untilStep,
  move,
} from './bringUpStage.js';

const DATABASE = 'sessions-00';
const OTHER = 'sessions-01';
/** Longer than Redis needs to serve a follower that may be served. */
const WOULD_HAVE_FORKED_MS = 3_000;

let fleet: TestFleet;
let leader: Endpoint;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 2, name: 'invariants' });
  leader = await fleet.leader(DATABASE);
  follower = await fleet.follower(DATABASE);
  await loadData({ ...fleet.application, where: leader, megabytes: 2, seed: 1 });
});
afterAll(async () => {
  await fleet.stop();
});

/** As somebody does at 3 a.m.: with the configuration that lies in the directory. */
function startByHand(database: string, endpoint: Endpoint): void {
  const { directory, configuration } = filesOf(fleet, database, endpoint);
  const program = redisServerProgram(process.env);
  spawn(program, [configuration], { cwd: directory, detached: true, stdio: 'ignore' }).unref();
}

async function answers(endpoint: Endpoint): Promise<void> {
  await waitFor(async () => !(await fleet.facts(endpoint)).loading, {
    deadlineMs: 60 * SECOND,
    what: `an answer of ${endpoint.host}`,
  });
}

/** Pointed at its leader with a position that the leader does not have: waits at the gate, keeps its data. */
async function waitsAtTheGate(): Promise<void> {
  const linkState = async (): Promise<string | undefined> =>
    (await fleet.facts(leader)).replicas.find(({ address }) => address === follower.address)?.state;
  await waitFor(async () => (await linkState()) === 'wait_bgsave', {
    deadlineMs: 60 * SECOND,
    what: 'the follower to wait at the gate',
  });
  const since = performance.now();
  await waitFor(
    async () => {
      expect((await fleet.facts(leader)).totalForks).toBe(0);
      return performance.now() - since > WOULD_HAVE_FORKED_MS;
    },
    { deadlineMs: 2 * WOULD_HAVE_FORKED_MS, what: 'the time in which a leader would have forked' },
  );
  expect(await linkState()).toBe('wait_bgsave');
}

describe('a follower that comes back on its own', () => {
  test("from a history that is not its leader's waits at the gate with its data, and is helped by a backup", async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      const file = await backUp(fleet, DATABASE, follower);
      const { keys } = await fleet.facts(follower);
      await redisAt(fleet, follower, async (redis) => {
        await redis.replicaof('NO', 'ONE');
        await redis.set('foreign', 'a write that the leader never had');
        await redis.replicaof(leader.address, leader.port);
      });
      await waitsAtTheGate();
      expect((await fleet.facts(follower)).keys).toBeGreaterThan(keys);
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE, backup: { file } }));
    });
    expect(told).toMatchObject({ way: 'backup', leaderForks: 0 });
    expect(told.rejected[0]?.way).toBe('own-files');
    expect(leaderForks).toBe(0);
    const foreign = await redisAt(fleet, follower, (redis) => redis.get('foreign'));
    expect(foreign).toBeNull();
  });

  test('too old waits at the gate while it runs; when it is helped by a fork, only that one is served', async () => {
    const { told } = await underWrites(fleet, OTHER, async () => {
      const [led, old] = [await fleet.leader(OTHER), await fleet.follower(OTHER)];
      await redisAt(fleet, old, (redis) => redis.replicaof('127.0.0.1', 1));
      await loadData({ ...fleet.application, where: led, megabytes: 20, seed: 2 });
      await redisAt(fleet, old, (redis) => redis.replicaof(led.address, led.port));
      await waitFor(async () => (await fleet.facts(led)).replicas[0]?.state === 'wait_bgsave', {
        deadlineMs: 60 * SECOND,
        what: 'the follower to wait at the gate',
      });
      const { keys } = await fleet.facts(old);
      expect(keys).toBeGreaterThan(0);
      const aborted = await bringUp(fleet, { database: OTHER });
      await untilStep(fleet, aborted, { state: 'waiting for approval' });
      await move(fleet, aborted, 'abort', 'its old data may still be wanted');
      expect((await failed(fleet, aborted)).problem).toContain('Undone: ');
      // Replaced for the fork that did not come, it runs again with what it held.
      expect(await fleet.facts(old)).toMatchObject({ keys, link: { address: '127.0.0.1', port: 1 } });

      const id = await bringUp(fleet, { database: OTHER });
      const { name } = await untilStep(fleet, id, { state: 'waiting for approval' });
      expect(name).toBe('synchronise from the leader');
      expect((await fleet.facts(led)).totalForks).toBe(0);
      await move(fleet, id, 'approve', 'the stream went on without it for too long');
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'full', leaderForks: 1 });
    expect(told.rejected[0]?.why).toMatch(
      /its process still runs, and: it stands at offset \d+ and the leader's backlog begins at/,
    );
  });

  test('started by hand after a kill -9 follows nobody, and its leader does not fork', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await fleet.save(DATABASE, follower);
      await killProcess(fleet, DATABASE, follower);
      startByHand(DATABASE, follower);
      await answers(follower);
      expect((await fleet.facts(follower)).link).toMatchObject({ address: '127.0.0.1', port: 1, up: false });
      expect(await gates(fleet, follower)).toEqual(SHUT);
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(told.why).toContain('its process still runs');
    expect(leaderForks).toBe(0);
  });
});

test('a follower that somebody promoted by hand is left alone: it may hold writes that nobody else has', async () => {
  const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
    const { runId } = await fleet.facts(follower);
    await fleet.save(DATABASE, follower);
    await redisAt(fleet, follower, (redis) => redis.replicaof('NO', 'ONE'));
    await redisAt(fleet, follower, (redis) => redis.set('only-here', 'acknowledged'));
    const { kind, problem } = await failed(fleet, await bringUp(fleet, { database: DATABASE }));
    expect(kind).toBe('FollowerUnfit');
    expect(problem).toContain(
      `the record names ${leader.host} (${leader.address}:${leader.port}) as the leader`,
    );
    expect(problem).toContain('REPLICAOF 127.0.0.1 1');
    expect((await fleet.facts(follower)).runId).toBe(runId);
    expect(await redisAt(fleet, follower, (redis) => redis.get('only-here'))).toBe('acknowledged');
    // Given up by whoever may decide that. What it holds now belongs to no history of the leader.
    await redisAt(fleet, follower, (redis) => redis.replicaof('127.0.0.1', 1));
    const id = await bringUp(fleet, { database: DATABASE });
    await untilStep(fleet, id, { state: 'waiting for approval' });
    await move(fleet, id, 'approve', 'a test');
    return broughtUp(fleet, id);
  });
  expect(told).toMatchObject({ way: 'full', leaderForks: 1 });
  expect(leaderForks).toBe(1);
});

describe('who may ask for what', () => {
  let forks: number;
  beforeAll(async () => {
    forks = (await fleet.facts(leader)).totalForks;
  });
  async function refusal(username: string, password: string, command: readonly string[]): Promise<string> {
    const client: Redis = openClient(leader, { username, password }, 2 * SECOND);
    try {
      await client.connect();
      const [name = '', ...parameters] = command;
      const answer = await client.call(name, ...parameters);
      return `answered: ${String(answer)}`;
    } catch (error) {
      return messageOf(error);
    } finally {
      client.disconnect();
    }
  }

  test("the followers' user may not SYNC, nor anything but follow", async () => {
    const { replication } = fleet.dev.credentials;
    for (const command of [
      ['SYNC'],
      ['BGSAVE'],
      ['CONFIG', 'GET', 'save'],
      ['GET', 'x'],
      ['REPLICAOF', 'NO', 'ONE'],
    ])
      expect(await refusal(REPLICATION_USER, replication, command)).toMatch(/^NOPERM/);
    expect((await fleet.facts(leader)).totalForks).toBe(forks);
  });

  test('applications may not replicate, fork, configure or re-point', async () => {
    const { username = '', password = '' } = fleet.application;
    const commands = [
      ['SYNC'],
      ['PSYNC', '?', '-1'],
      ['BGSAVE'],
      ['BGREWRITEAOF'],
      ['SAVE'],
      ['CONFIG', 'SET', 'save', '1 1'],
      ['REPLICAOF', 'NO', 'ONE'],
      ['FAILOVER'],
      ['SHUTDOWN'],
      ['ACL', 'LIST'],
    ];
    for (const command of commands) expect(await refusal(username, password, command)).toMatch(/^NOPERM/);
    expect(await refusal(username, password, ['PING'])).toBe('answered: PONG');
    expect((await fleet.facts(leader)).totalForks).toBe(forks);
  });
});

test('a leader that was killed and started by hand leads nobody, and does not wipe its follower', async () => {
  const writer = await startWriter(fleet, leader);
  await caughtUp(writer.counts.acknowledged);
  const { keys } = await fleet.facts(follower);
  // What was in flight is nobody's: the writer stops first, so that all that was acknowledged has arrived.
  await writer.stop();
  await caughtUpFollower(fleet, DATABASE);
  await killProcess(fleet, DATABASE, leader);
  startByHand(DATABASE, leader);
  await answers(leader);
  const reborn = await fleet.facts(leader);
  expect(reborn.role).toBe('follower');
  expect(reborn.link).toMatchObject({ address: '127.0.0.1', port: 1, up: false });
  expect(await gates(fleet, leader)).toEqual(SHUT);
  const since = performance.now();
  await waitFor(
    async () => {
      expect((await fleet.facts(follower)).keys).toBeGreaterThanOrEqual(keys);
      return performance.now() - since > WOULD_HAVE_FORKED_MS;
    },
    { deadlineMs: 2 * WOULD_HAVE_FORKED_MS, what: 'the time in which a follower would have been wiped' },
  );
  expect((await fleet.facts(leader)).totalForks).toBe(0);
  await expectHolds(fleet, writer, follower);
  const id = await bringUp(fleet, { database: DATABASE });
  const end = await failed(fleet, id);
  expect(end.kind).toBe('LeaderUnfit');
  expect(end.problem).toContain(`${leader.host} (${leader.address}:${leader.port}) does not lead`);
  expect(end.problem).toContain('Nothing was changed.');
  await expectHolds(fleet, writer, follower);
});

async function caughtUp(acknowledged: number): Promise<void> {
  await waitFor(async () => (await fleet.facts(follower)).keys >= acknowledged, {
    deadlineMs: 60 * SECOND,
    what: 'the follower to have the first writes',
  });
}

test('no password is in any history or log', async () => {
  expect(await expectNoSecrets(fleet)).toBeGreaterThan(4);
});
