/** Who may change a database, what an abort puts back, and that nothing hangs on one worker, agent or connection. */

import { statSync } from 'node:fs';
import process from 'node:process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/fleet/record.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import {
  backlogSize,
  bringUp,
  bringUpAs,
  broughtUp,
  caughtUpFollower,
  expectAtRest,
  expectHolds,
  expectNoSecrets,
  failed,
  killProcess,
  loseDirectory,
  move,
  redisAt,
  SECOND,
  startWriter,
  underWrites,
  untilStep,
} from './bringUpStage.js';

const DATABASE = 'sessions-00';
const ANOTHER_ID = 'by-hand/sessions-00';

let fleet: TestFleet;
let leader: Endpoint;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 1, name: 'owners' });
  leader = await fleet.leader(DATABASE);
  follower = await fleet.follower(DATABASE);
  await loadData({ ...fleet.application, where: leader, megabytes: 2, seed: 1 });
});
afterAll(async () => {
  await fleet.stop();
});

/** A bring-up that stays in its middle until told: it asks for a fork. */
async function heldInTheMiddle(): Promise<string> {
  await killProcess(fleet, DATABASE, follower);
  const id = await bringUp(fleet, { database: DATABASE, way: 'full' });
  await untilStep(fleet, id, { state: 'waiting for approval' });
  return id;
}

describe('a database that a bring-up owns', () => {
  test('is refused to a second one under another id, which is told who has it', async () => {
    const { leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await fleet.save(DATABASE, follower);
      const first = await heldInTheMiddle();
      const record = await fleet.record(DATABASE);
      await bringUpAs(fleet.dev.temporal, ANOTHER_ID, { database: DATABASE });
      const second = await failed(fleet, ANOTHER_ID);
      expect(second.kind).toBe('DatabaseOwned');
      expect(second.problem).toContain(
        `Database ${DATABASE} belongs to ${first} (bringUpFollower, planned, since `,
      );
      expect(second.problem).toContain(`redis-fleet runbook show ${first}`);
      expect(second.runbook.steps.map(({ progress }) => progress.state)).not.toContain('undo stuck');
      expect(await fleet.record(DATABASE)).toEqual(record);
      await move(fleet, first, 'abort', 'there is a better way');
      await failed(fleet, first);
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
    });
    expect(leaderForks).toBe(0);
  });

  test('is taken over from one that was terminated, by the next', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await fleet.save(DATABASE, follower);
      const first = await heldInTheMiddle();
      await fleet.dev.temporal.workflow.getHandle(first).terminate('a test');
      expect((await fleet.record(DATABASE)).operation).toMatchObject({ workflowId: first });
      await bringUpAs(fleet.dev.temporal, `${ANOTHER_ID}/2`, { database: DATABASE, way: 'full' });
      await untilStep(fleet, `${ANOTHER_ID}/2`, { state: 'waiting for approval' });
      expect((await fleet.record(DATABASE)).operation).toMatchObject({ workflowId: `${ANOTHER_ID}/2` });
      await move(fleet, `${ANOTHER_ID}/2`, 'approve', 'the file was moved aside by the terminated one');
      return broughtUp(fleet, `${ANOTHER_ID}/2`);
    });
    expect(told).toMatchObject({ way: 'full', leaderForks: 1 });
    expect(leaderForks).toBe(1);
  });
});

describe('an abort in the middle', () => {
  let file: string;
  beforeEach(async () => {
    file = await fleet.save(DATABASE, follower);
  });

  test('of a bring-up from files puts back process, backlog, record and gates', async () => {
    const writer = await startWriter(fleet, leader);
    const written = statSync(file).mtimeMs;
    const { totalForks } = await fleet.facts(leader);
    const record = await fleet.record(DATABASE);
    const backlog = await backlogSize(fleet, leader);
    await killProcess(fleet, DATABASE, follower);
    await loadData({ ...fleet.application, where: leader, megabytes: 10, seed: 3 });
    // The follower's log-in fails: the step that follows the leader tries on.
    await redisAt(fleet, leader, (redis) => redis.call('ACL', 'SETUSER', 'replication', 'off'));
    const id = await bringUp(fleet, { database: DATABASE });
    await untilStep(fleet, id, { state: 'running', step: 'follow the leader' });
    await waitFor(async () => (await fleet.facts(follower)).link?.address === leader.address, {
      deadlineMs: 60 * SECOND,
      what: 'the follower to be pointed at its leader',
    });
    expect(await backlogSize(fleet, leader)).toBeGreaterThan(backlog);

    await move(fleet, id, 'abort', 'not now');
    const end = await failed(fleet, id);
    await redisAt(fleet, leader, (redis) => redis.call('ACL', 'SETUSER', 'replication', 'on'));
    expect(end.kind).toBe('RunbookAborted');
    expect(end.problem).toContain('was aborted by ann: not now.');
    expect(end.problem).toContain(
      'Undone: "follow the leader", "start the follower", "widen the backlog", "claim the database".',
    );
    expect(fleet.pidOf(DATABASE, follower.host)).toBeNull();
    expect(statSync(file).mtimeMs).toBe(written);
    expect(await backlogSize(fleet, leader)).toBe(backlog);
    const after = await fleet.record(DATABASE);
    expect({ ...after, updatedAt: record.updatedAt, updatedBy: record.updatedBy }).toEqual(record);
    await expectAtRest(fleet, DATABASE);

    const again = await broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
    expect(again).toMatchObject({ way: 'own-files', leaderForks: 0 });
    await writer.stop();
    await expectHolds(fleet, writer, leader);
    await expectHolds(fleet, writer, await caughtUpFollower(fleet, DATABASE));
    expect((await fleet.facts(leader)).totalForks).toBe(totalForks);
  });

  test('of one that would fork puts the old data file back, and holds no permit', async () => {
    const id = await heldInTheMiddle();
    await move(fleet, id, 'abort', 'too dangerous');
    const end = await failed(fleet, id);
    expect(end.kind).toBe('RunbookAborted');
    expect(fleet.pidOf(DATABASE, follower.host)).toBeNull();
    await expectAtRest(fleet, DATABASE);
    // The file that was there before the runbook is good for the way that needs it.
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () =>
      broughtUp(fleet, await bringUp(fleet, { database: DATABASE })),
    );
    expect(told.way).toBe('own-files');
    expect(leaderForks).toBe(0);
  });
});

describe('an orderly stop in the middle', () => {
  test('of the worker and of the agent: both come back, and the bring-up goes on', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await fleet.save(DATABASE, follower);
      await killProcess(fleet, DATABASE, follower);
      await redisAt(fleet, leader, (redis) => redis.call('ACL', 'SETUSER', 'replication', 'off'));
      const id = await bringUp(fleet, { database: DATABASE });
      await waitFor(() => fleet.pidOf(DATABASE, follower.host) !== null, {
        deadlineMs: 60 * SECOND,
        what: 'the follower to be started',
      });
      const redis = fleet.pidOf(DATABASE, follower.host);
      const children = ['worker', `agent:${follower.host}`] as const;
      for (const child of children) {
        const pid = fleet.dev.pidOf(child);
        if (pid === null) throw new Error(`${child} is down`);
        process.kill(pid, 'SIGTERM');
        await waitFor(() => ![null, pid].includes(fleet.dev.pidOf(child)), {
          deadlineMs: 30 * SECOND,
          what: `another ${child}`,
        });
      }
      expect(fleet.pidOf(DATABASE, follower.host)).toBe(redis);
      await redisAt(fleet, leader, (client) => client.call('ACL', 'SETUSER', 'replication', 'on'));
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(leaderForks).toBe(0);
  });

  test('of an agent by kill -9: its Redis runs on, and the next agent finds it again', async () => {
    const redis = fleet.pidOf(DATABASE, follower.host);
    expect(redis).not.toBeNull();
    const { uptimeSeconds } = await fleet.facts(follower);
    const killed = await fleet.dev.kill(`agent:${follower.host}`);
    await waitFor(() => ![null, killed].includes(fleet.dev.pidOf(`agent:${follower.host}`)), {
      deadlineMs: 30 * SECOND,
      what: 'another agent',
    });
    expect(fleet.pidOf(DATABASE, follower.host)).toBe(redis);
    expect((await fleet.facts(follower)).uptimeSeconds).toBeGreaterThanOrEqual(uptimeSeconds);
    // It stops what it did not start: the process that lies there is its own.
    await redisAt(fleet, follower, (client) => client.replicaof('127.0.0.1', 1));
    const { told } = await underWrites(fleet, DATABASE, async () =>
      broughtUp(fleet, await bringUp(fleet, { database: DATABASE })),
    );
    expect(told).toMatchObject({ way: 'own-files' });
    expect(told.why).toContain('its process still runs');
    expect(fleet.pidOf(DATABASE, follower.host)).toBe(redis);
  });
});

test('a follower host that lost its directory is no trouble for a runbook that is aborted', async () => {
  await loseDirectory(fleet, DATABASE, follower);
  const id = await bringUp(fleet, { database: DATABASE });
  await untilStep(fleet, id, { state: 'waiting for approval' });
  await move(fleet, id, 'abort', 'a backup is on its way');
  expect((await failed(fleet, id)).kind).toBe('RunbookAborted');
  await expectAtRest(fleet, DATABASE);
  expect(fleet.pidOf(DATABASE, follower.host)).toBeNull();
});

test('no password is in any history or log', async () => {
  expect(await expectNoSecrets(fleet)).toBeGreaterThan(6);
});
