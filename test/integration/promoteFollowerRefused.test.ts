/** Promotions that are refused: nothing is changed, and the sentence says what to do. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/fleet/record.js';
import type { PromoteFollowerRequest } from '../../src/fleet/requests.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import {
  bringUpAs,
  caughtUpFollower,
  failed,
  killProcess,
  move,
  redisAt,
  SECOND,
  untilStep,
} from './bringUpStage.js';
import type { FailedEnd } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import {
  detected,
  expectPromoted,
  leaseKnows,
  outcomeOf,
  promote,
  promoted,
  signal,
} from './promotionStage.js';
import { startByHand } from './startByHand.js';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 10, name: 'refusals' });
});
afterAll(async () => {
  await fleet.stop();
});

/** Fails at once, with nothing changed and nobody left as the owner. */
async function refused(request: PromoteFollowerRequest, name?: string): Promise<FailedEnd> {
  const before = request.database === undefined ? null : await fleet.record(request.database);
  const end = await failed(fleet, await promote(fleet, request, name));
  if (before !== null) {
    const after = await fleet.record(before.database);
    expect({ ...after, updatedAt: '', updatedBy: '' }).toEqual({ ...before, updatedAt: '', updatedBy: '' });
  }
  return end;
}

async function pair(database: string): Promise<{ leader: Endpoint; follower: Endpoint }> {
  return { leader: await fleet.leader(database), follower: await fleet.follower(database) };
}

async function letGo(follower: Endpoint): Promise<void> {
  await redisAt(fleet, follower, (redis) => redis.replicaof('127.0.0.1', 1));
}

describe('a leader that is well', () => {
  const database = 'sessions-00';

  test('is left alone, and the sentence names the switchover', async () => {
    const { kind, problem } = await refused({ database });
    expect(kind).toBe('LeaderHealthy');
    expect(problem).toContain(`redis-fleet switchover ${database}`);
    expect(problem).toContain('Nothing was changed');
  });

  test('is left alone, although somebody says that it was seen silent', async () => {
    expect((await refused({ database, ...detected(database) })).kind).toBe('LeaderHealthy');
  });

  test('is no reason to take the database from a planned runbook', async () => {
    const id = 'bringUpFollower/in-the-way';
    const { follower } = await pair(database);
    await killProcess(fleet, database, follower);
    await bringUpAs(fleet.dev.temporal, id, { database, way: 'full' });
    await untilStep(fleet, id, { state: 'waiting for approval' });
    const { kind, problem } = await refused({ database });
    expect(kind).toBe('LeaderHealthy');
    expect(problem).toContain(id);
    expect((await fleet.record(database)).operation?.workflowId).toBe(id);
    await move(fleet, id, 'abort', 'seen enough');
    await failed(fleet, id);
  });

  test('by the command line too: exit code 1, and the same sentence', async () => {
    const run = await cli(fleet.dev.env, ['promote', 'sessions-01']);
    expect(run.code).toBe(1);
    expect(run.out).toContain('redis-fleet switchover sessions-01');
  });
});

describe('what was called wrongly', () => {
  test.each<[string, PromoteFollowerRequest, string]>([
    ['a database that nobody has', { database: 'sessions-99' }, 'no database sessions-99'],
    ['a host that nobody has', { host: 'redis-09-a' }, 'has no host redis-09-a'],
    ['a zone that nobody has', { zone: 'az-x' }, 'has no zone az-x'],
    ['a host that leads nothing', { host: 'redis-01-b' }, 'nothing to promote'],
    [
      'a loss that is allowed for another database',
      { database: 'sessions-01', allowDataLoss: ['sessions-02'] },
      'sessions-02 is not among the databases of this promotion',
    ],
    [
      'a leader that the caller believes in and that does not lead',
      { database: 'sessions-01', expectedLeader: 'redis-01-b' },
      'is led by redis-01-a, not by redis-01-b',
    ],
  ])('%s', async (_, request, why) => {
    const { problem } = await failed(fleet, await promote(fleet, request));
    expect(problem).toContain(why);
  });

  test('by the command line: exit code 2', async () => {
    for (const line of [['promote'], ['promote', 'sessions-01', '--host', 'redis-01-a']]) {
      const run = await cli(fleet.dev.env, line);
      expect(run.code).toBe(2);
      expect(run.err).toContain('Nothing was done');
    }
  });
});

test('a follower that is known to lag is promoted only when it is named, and how much is missing is said', async () => {
  const database = 'sessions-02';
  const { leader, follower } = await pair(database);
  const before = await fleet.record(database);
  await caughtUpFollower(fleet, database);
  await letGo(follower);
  await loadData({ ...fleet.application, where: leader, megabytes: 18, seed: 1 });
  await leaseKnows(fleet, database, leader, (await fleet.facts(leader)).position.offset);
  signal(fleet, database, leader, 'SIGKILL');
  const { kind, problem } = await refused({ database, ...detected(database) });
  expect(kind).toBe('FollowerUnfit');
  expect(problem).toContain('behind what its leader is known to have had');
  expect(problem).toContain(`redis-fleet promote ${database} --allow-data-loss ${database}`);
  expect((await fleet.facts(follower)).role).toBe('follower');

  const dry = await cli(fleet.dev.env, ['promote', database, '--dry-run', '--allow-data-loss', database]);
  expect(dry.code).toBe(0);
  expect(dry.out).toMatch(/redis-01-b would lead instead of redis-01-a, 2\d(\.\d)? MiB behind/);
  expect(await fleet.record(database)).toMatchObject({ epoch: before.epoch, leader });

  const run = await cli(fleet.dev.env, ['promote', database, '--allow-data-loss', database, '--json']);
  expect(run.code).toBe(0);
  const { result } = JSON.parse(run.out) as { result: { outcomes: { behindBytes: number }[] } };
  expect(result.outcomes[0]?.behindBytes).toBeGreaterThan(17e6);
  expectPromoted(before, await fleet.record(database));
});

test('a follower that was never synchronised with its leader is promoted only when it is named', async () => {
  const database = 'sessions-03';
  const { leader, follower } = await pair(database);
  await leaseKnows(fleet, database, leader, 1);
  // Twice: then its history has nothing to do with that of its leader any more.
  for (let times = 0; times < 2; times++) {
    await redisAt(fleet, follower, (redis) => redis.replicaof('NO', 'ONE'));
    await letGo(follower);
  }
  signal(fleet, database, leader, 'SIGKILL');
  const { problem } = await refused({ database, ...detected(database) });
  expect(problem).toContain('never fully synchronised');
  expect(problem).toContain(`--allow-data-loss ${database}`);
  const id = await promote(fleet, { database, allowDataLoss: [database], ...detected(database) });
  outcomeOf(await promoted(fleet, id), database, 'promoted');
});

test('a follower that loads is waited for', async () => {
  const database = 'sessions-04';
  const { leader, follower } = await pair(database);
  const before = await fleet.record(database);
  await loadData({ ...fleet.application, where: leader, megabytes: 3, seed: 1 });
  await caughtUpFollower(fleet, database);
  await leaseKnows(fleet, database, leader, (await fleet.facts(leader)).position.offset);
  await fleet.save(database, follower);
  await killProcess(fleet, database, follower);
  startByHand(fleet, database, follower, [
    '--key-load-delay',
    '3000',
    '--loading-process-events-interval-bytes',
    '4096',
  ]);
  await waitFor(async () => (await fleet.facts(follower)).loading, {
    deadlineMs: 60 * SECOND,
    everyMs: 10,
    what: 'the follower to load',
  });
  signal(fleet, database, leader, 'SIGKILL');
  const { problem } = await refused({ database, ...detected(database), allowDataLoss: [database] });
  expect(problem).toContain('still loading');
  await waitFor(async () => !(await fleet.facts(follower)).loading, {
    deadlineMs: 60 * SECOND,
    what: 'the follower to have loaded',
  });
  await promoted(fleet, await promote(fleet, { database, ...detected(database) }));
  expectPromoted(before, await fleet.record(database));
});

describe('leader and follower are both lost', () => {
  const database = 'sessions-05';

  test('nothing is changed, and the sentence says what to do', async () => {
    const { leader, follower } = await pair(database);
    await loadData({ ...fleet.application, where: leader, megabytes: 1, seed: 1 });
    await redisAt(fleet, leader, (redis) => redis.save());
    await killProcess(fleet, database, follower);
    await killProcess(fleet, database, leader);
    const { kind, problem } = await refused({ database, ...detected(database), allowDataLoss: [database] });
    expect(kind).toBe('FollowerUnfit');
    expect(problem).toContain(`Leader and follower of ${database} are both lost`);
    expect(problem).toContain('Nothing was changed');
    expect(problem).toContain(`Bring the leader's process on ${leader.host} back`);
  });

  test('the leader that is started anew leads again when an engineer says so, with what was in its file', async () => {
    const before = await fleet.record(database);
    startByHand(fleet, database, before.leader);
    await waitFor(async () => !(await fleet.facts(before.leader)).loading, {
      deadlineMs: 60 * SECOND,
      what: 'the leader to have loaded its file',
    });
    const { problem } = await refused({ database, ...detected(database) });
    expect(problem).toContain('to let that one lead again');
    const id = await promote(fleet, { database, ...detected(database), allowDataLoss: [database] });
    outcomeOf(await promoted(fleet, id), database, 'promoted');
    const after = await fleet.record(database);
    expect(after).toMatchObject({ leader: before.leader, epoch: before.epoch + 1 });
    expect(await fleet.facts(after.leader)).toMatchObject({ role: 'leader' });
    expect((await fleet.facts(after.leader)).keys).toBeGreaterThan(100);
  });
});

test('two engineers at once: one promotion is done, and both hear of it', async () => {
  const database = 'sessions-06';
  const before = await fleet.record(database);
  signal(fleet, database, before.leader, 'SIGKILL');
  const line = ['promote', database];
  const both = await Promise.all([cli(fleet.dev.env, line), cli(fleet.dev.env, line)]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expectPromoted(before, await fleet.record(database));
});

test('two promotions of different names for one database: the second changes nothing', async () => {
  const database = 'sessions-07';
  const before = await fleet.record(database);
  signal(fleet, database, before.leader, 'SIGKILL');
  const [one, two] = await Promise.allSettled(
    ['ann', 'bob'].map(async (name) =>
      promoted(fleet, await promote(fleet, { database, ...detected(database) }, name)),
    ),
  );
  expect([one?.status, two?.status].toSorted()).toEqual(['fulfilled', 'rejected']);
  expectPromoted(before, await fleet.record(database));
});

test('of several, one that is refused does not hold up the other', async () => {
  const [dead, well] = ['sessions-08', 'sessions-09'];
  const [before, other] = [await fleet.record(dead), await fleet.record(well)];
  signal(fleet, dead, before.leader, 'SIGKILL');
  const id = await promote(fleet, { databases: [dead, well], ...detected(dead, well) });
  const end = await promoted(fleet, id);
  outcomeOf(end, dead, 'promoted');
  expect(outcomeOf(end, well, 'refused').why).toContain(`redis-fleet switchover ${well}`);
  expectPromoted(before, await fleet.record(dead));
  const left = await fleet.record(well);
  expect(left).toMatchObject({ epoch: other.epoch, leader: other.leader });
  expect(left.operation).toBeUndefined();
});
