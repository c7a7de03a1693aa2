/** A follower is brought up in the way that spares its leader most, while a writer writes and nothing is lost. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/fleet/record.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import {
  backUp,
  backlogSize,
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectNoSecrets,
  gates,
  killProcess,
  loseDirectory,
  move,
  redisAt,
  SECOND,
  SHUT,
  underWrites,
  untilStep,
} from './bringUpStage.js';

const DATABASE = 'sessions-00';
const OTHER = 'sessions-01';
/** A quarter of 64 MiB. */
const CONFIGURED_BACKLOG = 16 * 1024 * 1024;

let fleet: TestFleet;
let leader: Endpoint;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 2, databasesPerServer: 2, name: 'ways' });
  leader = await fleet.leader(DATABASE);
  follower = await fleet.follower(DATABASE);
  await loadData({ ...fleet.application, where: leader, megabytes: 2, seed: 1 });
});
afterAll(async () => {
  await fleet.stop();
});

describe('the way', () => {
  test('is none at all for a follower that follows', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () =>
      broughtUp(fleet, await bringUp(fleet, { database: DATABASE })),
    );
    expect(told).toMatchObject({ way: 'following', rejected: [], leaderForks: 0 });
    expect(told.why).toBe(
      `the follower is connected to its leader ${leader.host} (${leader.address}:${leader.port}) already`,
    );
    expect(told.runbook.steps.map(({ name }) => name)).not.toContain('start the follower');
    expect(leaderForks).toBe(0);
  });

  test('after a kill -9 is its own older data file, as far as the backlog reaches', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await fleet.save(DATABASE, follower);
      const saved = (await fleet.facts(leader)).position.offset;
      await waitFor(async () => (await fleet.facts(leader)).position.offset > saved + 5_000, {
        deadlineMs: 60 * SECOND,
        what: 'writes that are not in the file',
      });
      await killProcess(fleet, DATABASE, follower);
      const result = await broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
      expect((await fleet.facts(follower)).link?.up).toBe(true);
      return result;
    });
    expect(told).toMatchObject({ way: 'own-files', rejected: [], follower, leaderForks: 0 });
    expect(told.why).toMatch(
      /^the data file in its own directory is .+ behind the leader, whose backlog covers/,
    );
    expect(told.runbook.notes[0]).toBe(`Way: own-files, because ${told.why}.`);
    expect(leaderForks).toBe(0);
    expect(await backlogSize(fleet, leader)).toBe(CONFIGURED_BACKLOG);
  });

  test('of a process that still runs is to follow again, and it is not restarted', async () => {
    const { runId } = await fleet.facts(follower);
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      await redisAt(fleet, follower, (redis) => redis.replicaof('127.0.0.1', 1));
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(told.why).toMatch(/^its process still runs, and is .+ behind the leader/);
    expect((await fleet.facts(follower)).runId).toBe(runId);
    expect(leaderForks).toBe(0);
  });

  test('with its data directory lost is a backup, for which the backlog is widened for a while', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      const file = await backUp(fleet, DATABASE, follower);
      await loseDirectory(fleet, DATABASE, follower);
      // More than half of the backlog: by the estimate it would not last.
      await loadData({ ...fleet.application, where: leader, megabytes: 10, seed: 2 });
      const result = await broughtUp(fleet, await bringUp(fleet, { database: DATABASE, backup: { file } }));
      expect(result.why).toContain(`the backup ${file} is `);
      return result;
    });
    expect(told).toMatchObject({ way: 'backup', leaderForks: 0 });
    expect(told.why).toMatch(/whose backlog covers that once it is widened to \d+ MiB$/);
    expect(told.rejected).toEqual([{ way: 'own-files', why: 'there is no data file in its own directory' }]);
    expect(leaderForks).toBe(0);
    expect(await backlogSize(fleet, leader)).toBe(CONFIGURED_BACKLOG);
  });

  test('on a host of another server is a chain: the other follower forks once, the leader never', async () => {
    const host = 'redis-02-b';
    const source = (await fleet.facts(follower)).totalForks;
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () =>
      broughtUp(fleet, await bringUp(fleet, { database: DATABASE, host })),
    );
    expect(told).toMatchObject({ way: 'chain', leaderForks: 0, follower: { host } });
    expect(told.why).toContain(`the follower ${follower.host} (${follower.address}:${follower.port}) is `);
    expect(told.why).toContain('the fork is on that follower');
    expect(told.rejected.map(({ way }) => way)).toEqual(['own-files', 'backup']);
    expect(leaderForks).toBe(0);
    expect((await fleet.facts(follower)).totalForks).toBe(source + 1);
    expect(await gates(fleet, follower)).toEqual(SHUT);
    const record = await fleet.record(DATABASE);
    expect(record).toMatchObject({ follower, extraFollowers: [told.follower], epoch: 1 });
    await waitFor(
      async () =>
        (await fleet.facts(told.follower)).position.offset >= (await fleet.facts(leader)).position.offset,
      { deadlineMs: 60 * SECOND, what: 'the extra follower to have it all' },
    );
    expect((await fleet.facts(told.follower)).keys).toBe((await fleet.facts(leader)).keys);
  });

  test('with nothing left is a fork of the leader: visibly asked for, approved by name, once', async () => {
    const lost = await fleet.follower(OTHER);
    const led = await fleet.leader(OTHER);
    const { told, leaderForks } = await underWrites(fleet, OTHER, async () => {
      await loseDirectory(fleet, OTHER, lost);
      const id = await bringUp(fleet, { database: OTHER });
      const { name, progress } = await untilStep(fleet, id, { state: 'waiting for approval' });
      expect(name).toBe('synchronise from the leader');
      expect(progress.danger).toContain(`The leader of ${OTHER} on ${led.host} will fork once.`);
      expect((await fleet.facts(led)).totalForks).toBe(0);
      expect(await gates(fleet, led)).toEqual(SHUT);
      const { runbook } = await fleet.dev.temporal.workflow
        .getHandle(id)
        .describe()
        .then(({ typedSearchAttributes }) => ({ runbook: typedSearchAttributes.getAll() }));
      expect(JSON.stringify(runbook)).toContain('"waiting"');
      await move(fleet, id, 'approve', 'nobody else has the data');
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'full', leaderForks: 1, leaderTotalForks: 1 });
    expect(told.rejected).toEqual([
      { way: 'own-files', why: 'there is no data file in its own directory' },
      { way: 'backup', why: 'no backup was named, and the store has no verified one' },
      { way: 'chain', why: 'the database has no other follower to copy from' },
    ]);
    expect(told.runbook.decisions).toMatchObject([
      { message: 'approve', by: 'ann', reason: 'nobody else has the data' },
    ]);
    expect(leaderForks).toBe(1);
    await caughtUpFollower(fleet, OTHER);
  });

  test('left no password behind', async () => {
    expect(await expectNoSecrets(fleet)).toBeGreaterThan(6);
  });
});
