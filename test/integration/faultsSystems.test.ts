/** What a bring-up meets in what it works with: Consul, agents, leaders, passwords, records. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writePrivate } from '../../src/dev/dataDirectory.js';
import { isServed } from '../../src/dev/readiness.js';
import { consulKeys, hostQueue } from '../../src/fleet/names.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { redisServerProgram } from '../../src/host/settings.js';
import { put, readEntry } from '../../src/records/kv.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { pause, waitFor } from '../../src/testbed/waiting.js';
import type { DevChild } from '../../src/dev/startDev.js';
import {
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectAtRest,
  expectHolds,
  expectNoSecrets,
  failed,
  filesOf,
  killProcess,
  move,
  pidOf,
  redisAt,
  SECOND,
  startWriter,
  underWrites,
  untilStep,
} from './bringUpStage.js';

const DATABASE = 'sessions-00';
const OTHER = 'sessions-01';

let fleet: TestFleet;
let leader: Endpoint;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 3, name: 'systems' });
  leader = await fleet.leader(DATABASE);
  follower = await fleet.follower(DATABASE);
});
afterAll(async () => {
  await fleet.stop();
});

/** Frozen, it keeps its connections and answers nobody: worse than dead. */
function childPid(name: DevChild): number {
  const pid = fleet.dev.pidOf(name);
  if (pid === null) throw new Error(`${name} is down`);
  return pid;
}

/** Kills every new one at once, as when its binary or its machine is broken. */
function keepDown(name: DevChild): { mayComeBack(): Promise<void> } {
  const over = new AbortController();
  const killing = (async () => {
    while (!over.signal.aborted) {
      if (fleet.dev.pidOf(name) !== null) await fleet.dev.kill(name);
      await pause(20);
    }
  })();
  return {
    async mayComeBack() {
      over.abort();
      await killing;
      await waitFor(
        () => isServed(fleet.dev.temporal, hostQueue(name.slice('agent:'.length)), fleet.dev.pidOf(name)),
        {
          deadlineMs: 30 * SECOND,
          what: `${name} to come back`,
        },
      );
    },
  };
}

async function killedWithAnOlderFile(): Promise<void> {
  await fleet.save(DATABASE, follower);
  await killProcess(fleet, DATABASE, follower);
}

/** As with a restart that went wrong: until told, the followers of this leader cannot log in. */
async function followersLogIn(whether: 'on' | 'off', at = leader): Promise<void> {
  await redisAt(fleet, at, (redis) => redis.call('ACL', 'SETUSER', 'replication', whether));
}

describe('Consul', () => {
  test('frozen in the middle for longer than a request may take: the step waits, and goes on by itself', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await killedWithAnOlderFile();
      await followersLogIn('off');
      const id = await bringUp(fleet, { database: DATABASE });
      await untilStep(fleet, id, { state: 'running', step: 'follow the leader' });
      const consul = childPid('consul');
      process.kill(consul, 'SIGSTOP');
      try {
        await followersLogIn('on');
        // Its requests time out after ten.
        await pause(13 * SECOND);
      } finally {
        process.kill(consul, 'SIGCONT');
      }
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(told.runbook.decisions).toEqual([]);
    expect(leaderForks).toBe(0);
  });
});

describe('an agent that is gone', () => {
  test('makes the runbook stuck with whom to start; back and retried, it is done', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await killedWithAnOlderFile();
      const agent = keepDown(`agent:${follower.host}`);
      const id = await bringUp(fleet, { database: DATABASE });
      try {
        const { progress } = await untilStep(fleet, id, { state: 'stuck', withinMs: 60 * SECOND });
        expect(progress.kind).toBe('nobody serves');
        expect(progress.problem).toContain(`nobody serves host/${follower.host}: `);
        expect(progress.problem).toContain(
          `start its agent: redis-fleet agent --host ${follower.host}, then retry.`,
        );
      } finally {
        await agent.mayComeBack();
      }
      await move(fleet, id, 'retry', 'its agent is back');
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(leaderForks).toBe(0);
  });
});

describe('a password', () => {
  test('of the administrator that does not fit is named with its file, and a retry with the right one goes on', async () => {
    const { credentials: file } = fleet.dev.data;
    const text = readFileSync(file, 'utf8');
    const wrong = JSON.stringify({ ...fleet.dev.credentials, administrator: 'wrong-password-of-a-test' });
    const restart = async (): Promise<void> => {
      const killed = await fleet.dev.kill('worker');
      await waitFor(() => ![null, killed].includes(fleet.dev.pidOf('worker')), {
        deadlineMs: 60 * SECOND,
        what: 'another worker',
      });
    };
    const { told } = await underWrites(fleet, DATABASE, async () => {
      await killedWithAnOlderFile();
      writePrivate(file, wrong);
      await restart();
      const refused = await failed(fleet, await bringUp(fleet, { database: DATABASE }));
      expect(refused.kind).toBe('WrongCredentials');
      expect(refused.problem).toContain('refuses the user "redis-fleet"');
      expect(refused.problem).toContain('REDIS_FLEET_CREDENTIALS');
      expect(JSON.stringify(refused)).not.toContain('wrong-password-of-a-test');
      writePrivate(file, text);
      await restart();
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
    });
    expect(told.way).toBe('own-files');
  });

  test('of the followers that was changed on the leader makes the runbook stuck; put right and retried, it is done', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await killedWithAnOlderFile();
      await followersLogIn('off');
      const id = await bringUp(fleet, { database: DATABASE });
      const { name, progress } = await untilStep(fleet, id, { state: 'stuck', withinMs: 60 * SECOND });
      expect(name).toBe('follow the leader');
      expect(progress.problem).toContain('did not connect to its leader');
      expect(progress.problem).toContain('replication password');
      expect(progress.problem).toContain('The leader did not fork.');
      await followersLogIn('on');
      await move(fleet, id, 'retry', 'the user is on again');
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(leaderForks).toBe(0);
  });
});

test('a record edited into nonsense is named with key and field, stops nobody else, and works again once repaired', async () => {
  const key = consulKeys(fleet.dev.fleet.name).database(DATABASE);
  const entry = await readEntry(fleet.dev.consul, key);
  if (entry === null) throw new Error(`Consul has no ${key}`);
  const good: unknown = JSON.parse(entry.text);
  const nonsense = {
    ...(good as object),
    leader: { host: leader.host, address: leader.address, port: 'six' },
  };
  await put(fleet.dev.consul, key, nonsense);
  const refused = await failed(fleet, await bringUp(fleet, { database: DATABASE }));
  expect(refused.kind).toBe('InvalidRecord');
  expect(refused.problem).toContain(`Consul key ${key}: leader.port must be a whole number`);
  expect(refused.problem).toContain(`consul kv get ${key}`);
  const { told } = await underWrites(fleet, OTHER, async () =>
    broughtUp(fleet, await bringUp(fleet, { database: OTHER })),
  );
  expect(told.way).toBe('following');
  expect(JSON.parse((await readEntry(fleet.dev.consul, key))?.text ?? '')).toEqual(nonsense);
  await put(fleet.dev.consul, key, good);
  expect(await broughtUp(fleet, await bringUp(fleet, { database: DATABASE }))).toMatchObject({
    way: 'following',
  });
});

describe('a leader', () => {
  /** In the step that follows it. @returns the runbook's id */
  async function inTheMiddle(database: string): Promise<string> {
    const [led, follows] = [await fleet.leader(database), await fleet.follower(database)];
    await fleet.save(database, follows);
    await killProcess(fleet, database, follows);
    await followersLogIn('off', led);
    const id = await bringUp(fleet, { database });
    await untilStep(fleet, id, { state: 'running', step: 'follow the leader' });
    await waitFor(async () => (await fleet.facts(follows)).link?.address === led.address, {
      deadlineMs: 60 * SECOND,
      what: 'the follower to be pointed at its leader',
    });
    return id;
  }

  test('that dies in the middle is said within 30 s, and its follower keeps what it has', async () => {
    const [led, follows] = [await fleet.leader(OTHER), await fleet.follower(OTHER)];
    const writer = await startWriter(fleet, led);
    await writer.stop();
    await caughtUpFollower(fleet, OTHER);
    const id = await inTheMiddle(OTHER);
    const { keys } = await fleet.facts(follows);
    await killProcess(fleet, OTHER, led);
    const { progress } = await untilStep(fleet, id, { state: 'stuck', withinMs: 30 * SECOND });
    expect(progress.kind).toBe('LeaderUnfit');
    expect(progress.problem).toContain(
      `The leader ${led.host} (${led.address}:${led.port}) has not answered for 8 s`,
    );
    expect(progress.problem).toContain('The follower keeps the data it has.');
    expect((await fleet.facts(follows)).keys).toBe(keys);
    await expectHolds(fleet, writer, follows);
    expect(await fleet.record(OTHER)).toMatchObject({ epoch: 1, leader: led, follower: follows });
  });

  test('that is started again in the middle is not followed: it is another process', async () => {
    const database = 'sessions-02';
    const [led, follows] = [await fleet.leader(database), await fleet.follower(database)];
    const writer = await startWriter(fleet, led);
    await writer.stop();
    await caughtUpFollower(fleet, database);
    const id = await inTheMiddle(database);
    await killProcess(fleet, database, led);
    await startEmpty(database, led);
    const { progress } = await untilStep(fleet, id, { state: 'stuck', withinMs: 30 * SECOND });
    expect(progress.kind).toBe('LeaderUnfit');
    expect(progress.problem).toContain('was restarted while this runbook ran');
    await expectHolds(fleet, writer, follows);
    await move(fleet, id, 'abort', 'the leader lost its data');
    await waitFor(async () => (await fleet.record(database)).operation === undefined, {
      deadlineMs: 30 * SECOND,
      what: 'the end of the aborted runbook',
    });
    await expectAtRest(fleet, database);
  });

  async function startEmpty(database: string, endpoint: Endpoint): Promise<void> {
    const { directory, configuration } = filesOf(fleet, database, endpoint);
    const program = redisServerProgram(process.env);
    spawn(program, [configuration], { cwd: directory, detached: true, stdio: 'ignore' }).unref();
    await waitFor(async () => (await fleet.facts(endpoint)).keys === 0, {
      deadlineMs: 60 * SECOND,
      what: 'the empty process to answer',
    });
    expect(pidOf(fleet, database, endpoint)).toBeGreaterThan(0);
  }
});

test('no password is in any history or log', async () => {
  expect(await expectNoSecrets(fleet)).toBeGreaterThan(7);
});
