/** Switchovers as runbooks, with what a fleet does to them: workers that die, followers that are not well, a third process. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMINISTRATOR_USER } from '../../src/fleet/redisConfig.js';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { SeededRandom } from '../../src/testbed/random.js';
import { pause, waitFor } from '../../src/testbed/waiting.js';
import { bringUp, broughtUp, caughtUpFollower, failed, redisAt } from './bringUpStage.js';
import {
  expectWhole,
  forksOf,
  isReversed,
  signal,
  startSwitchover,
  switchedOver,
  whoLeads,
  writesGoOn,
  writing,
} from './switchoverStage.js';

const [DATABASE, OTHER] = ['sessions-00', 'sessions-01'] as const;
const THIRD_HOST = 'redis-02-b';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 2, databasesPerServer: 1, name: 'workers', maxmemory: '256MiB' });
  await loadData({ ...fleet.application, where: await fleet.leader(DATABASE), megabytes: 5, seed: 1 });
});
afterAll(async () => {
  await fleet.stop();
});

test('workers that are killed at any moment: each switchover ends, and nothing is lost', async () => {
  const random = new SeededRandom(7);
  const forks = await forksOf(fleet, DATABASE);
  const writer = await writing(fleet, DATABASE, 2_000);
  for (let n = 0; n < 4; n++) {
    await waitFor(() => fleet.dev.pidOf('worker') !== null, {
      deadlineMs: 30_000,
      what: 'the worker that was killed before to run again',
    });
    const before = await fleet.record(DATABASE);
    const workflowId = await startSwitchover(fleet, { database: DATABASE });
    // Not to wait for something, but to be anywhere in it.
    await pause(random.between(20, 400));
    await fleet.dev.kill('worker');
    const end = await runbookEnd(fleet.dev.temporal, { workflowId });
    expect(end.how === 'well' ? end.how : end).toBe('well');
    expect(isReversed(before, await fleet.record(DATABASE))).toBe(true);
    await writesGoOn(writer);
  }
  await expectWhole(fleet, DATABASE, writer);
  expect(await forksOf(fleet, DATABASE)).toEqual(forks);
});

describe('a follower that is not well', () => {
  test('frozen: refused before anything is changed, and no write waits', async () => {
    const before = await fleet.record(DATABASE);
    if (before.follower === null) throw new Error('no follower');
    const writer = await writing(fleet, DATABASE, 500);
    signal(fleet, DATABASE, before.follower, 'SIGSTOP');
    const { kind, problem } = await failed(fleet, await startSwitchover(fleet, { database: DATABASE }));
    signal(fleet, DATABASE, before.follower, 'SIGCONT');
    expect(kind).toBe('HandOverUndone');
    expect(problem).toContain(`The follower of ${DATABASE}, ${before.follower.host} (`);
    expect(problem).toContain('does not answer');
    expect(await fleet.record(DATABASE)).toEqual(before);
    await expectWhole(fleet, DATABASE, writer);
    expect(writer.counts.failed).toBe(0);
  });

  test('one that refuses to lead: writes go on at the old leader, and the database is free again', async () => {
    const before = await fleet.record(DATABASE);
    const { follower } = before;
    if (follower === null) throw new Error('no follower');
    // It was frozen a moment ago.
    await waitFor(async () => (await fleet.facts(before.leader)).replicas.some(({ lag }) => lag <= 1), {
      deadlineMs: 30_000,
      what: 'the follower to acknowledge again',
    });
    const writer = await writing(fleet, DATABASE, 500);
    const rules = (rule: string) =>
      redisAt(fleet, follower, (redis) => redis.call('ACL', 'SETUSER', ADMINISTRATOR_USER, rule));
    await rules('-replicaof');
    const { kind, problem } = await failed(fleet, await startSwitchover(fleet, { database: DATABASE }));
    await rules('+@all');
    expect(kind).toBe('HandOverUndone');
    expect(problem).toContain(`Writes go on at ${before.leader.host} (`);
    await expectWhole(fleet, DATABASE, writer);
    const { leader, epoch } = await fleet.record(DATABASE);
    expect({ leader, epoch }).toEqual({ leader: before.leader, epoch: before.epoch });
    expect(await whoLeads(fleet, DATABASE)).toEqual([leader.host]);
  });
});

test('a further follower is carried along, to and fro, and nobody forks for it', async () => {
  // A chain from the follower: it forks, and no leader does.
  const { leader } = await fleet.record(OTHER);
  const host = leader.host.startsWith('redis-02') ? 'redis-01-b' : THIRD_HOST;
  await broughtUp(fleet, await bringUp(fleet, { database: OTHER, host, way: 'chain' }));
  const [third] = (await fleet.record(OTHER)).extraFollowers ?? [];
  if (third === undefined) throw new Error('no further follower');
  const forks = await forksOf(fleet, OTHER);
  const writer = await writing(fleet, OTHER);
  for (let n = 0; n < 4; n++) {
    const { runbook } = await switchedOver(fleet, { database: OTHER });
    expect(runbook.notes).toHaveLength(1);
    const { leader: now, extraFollowers } = await fleet.record(OTHER);
    expect(extraFollowers).toEqual([third]);
    const { link } = await fleet.facts(third);
    expect(link).toMatchObject({ address: now.address, port: now.port, up: true });
  }
  await expectWhole(fleet, OTHER, writer);
  expect(await forksOf(fleet, OTHER)).toEqual(forks);
  expect((await fleet.facts(third)).totalForks).toBe(0);
  const follower = await caughtUpFollower(fleet, OTHER);
  await waitFor(
    async () => (await fleet.facts(third)).position.offset === (await fleet.facts(follower)).position.offset,
    { deadlineMs: 30_000, what: 'the further follower to have all' },
  );
  expect(await writer.verify(third, fleet.application)).toMatchObject({ lost: 0 });
});
