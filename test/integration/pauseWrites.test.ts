/** A host on which no fork fits any more: writes wait for one, no longer than was approved, and none fails or is lost. */

import { existsSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { Endpoint } from '../../src/fleet/record.js';
import type { PauseWritesRequest } from '../../src/fleet/requests.js';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { PausedWrites } from '../../src/workflows/pauseWrites.js';
import {
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectAtRest,
  expectHolds,
  failed,
  filesOf,
  loseDirectory,
  move,
  redisAt,
  SECOND,
  state,
  untilStep,
} from './bringUpStage.js';
import { PATIENT, writing } from './switchoverStage.js';

const DATABASE = 'sessions-00';
const MiB = 1024 * 1024;
const WITHIN_MS = 60 * SECOND;
const APPROVED = { 'pause writes': { by: 'ann', reason: 'the host is full' } };

let fleet: TestFleet;
let leader: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: 1,
    maxmemory: '96MiB',
    memory: '100MiB',
    name: 'full',
  });
  leader = await fleet.leader(DATABASE);
  // More than half of what the host may use.
  await loadData({ ...fleet.application, where: leader, megabytes: 20, seed: 1 });
  await caughtUpFollower(fleet, DATABASE);
});
afterAll(async () => {
  await fleet.stop();
});

/** While a writer writes, who waits as long as it takes; none of its writes may fail or be lost. */
async function underPatientWrites<T>(story: () => Promise<T>): Promise<{ told: T; longestGapMs: number }> {
  const writer = await writing(fleet, DATABASE, 500, PATIENT);
  let told: T;
  try {
    told = await story();
  } finally {
    await writer.stop();
  }
  expect(writer.counts.failed).toBe(0);
  await expectHolds(fleet, writer, leader);
  await expectAtRest(fleet, DATABASE);
  return { told, longestGapMs: writer.counts.longestGapMs };
}

async function pause(request: PauseWritesRequest): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name };
  return (await startRunbook(fleet.dev.temporal, 'pauseWrites', DATABASE, request, subject)).workflowId;
}

async function paused(workflowId: string): Promise<PausedWrites['databases'][number]> {
  const left = await waitFor(
    async () => [await state(fleet, workflowId)].find(({ status }) => status !== 'running'),
    {
      deadlineMs: 2 * WITHIN_MS,
      what: `the end of ${workflowId}`,
    },
  );
  expect(left.status, JSON.stringify(left.steps)).toBe('done');
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(end.problem);
  const [one] = (end.result as PausedWrites).databases;
  if (one === undefined) throw new Error('No database was paused.');
  return one;
}

/** Microseconds for each key: a child that takes its time. */
async function slowChild(keySaveDelay: number): Promise<void> {
  await redisAt(fleet, leader, (redis) => redis.config('SET', 'rdb-key-save-delay', keySaveDelay));
}

async function delayFor(seconds: number): Promise<number> {
  return Math.round((seconds * 1e6) / (await fleet.facts(leader)).keys);
}

async function untilItForks(): Promise<void> {
  await waitFor(async () => (await fleet.facts(leader)).saving, {
    deadlineMs: WITHIN_MS,
    everyMs: 20,
    what: 'a fork of the leader',
  });
}

describe('on a host on which no fork fits', () => {
  test('a leader saves its data while its writes wait, and nothing is copied', async () => {
    await slowChild(await delayFor(2));
    const before = (await fleet.facts(leader)).totalForks;
    const { told, longestGapMs } = await underPatientWrites(async () => {
      const id = await pause({ database: DATABASE, seconds: 20 });
      const { name, progress } = await untilStep(fleet, id, { state: 'waiting for approval' });
      expect(name).toBe('pause writes');
      expect(progress.danger).toContain('for 20 s at most');
      expect((await fleet.facts(leader)).totalForks).toBe(before);
      await move(fleet, id, 'approve', 'the host is full');
      return paused(id);
    });
    expect(told).toMatchObject({ database: DATABASE, outlasted: false });
    // Writers waited as long as the child lived, and not as long as they might have.
    expect(told.pausedMs).toBeGreaterThan(1.5 * SECOND);
    expect(told.pausedMs).toBeLessThan(15 * SECOND);
    expect(longestGapMs).toBeLessThan((told.pausedMs ?? 0) + 1.5 * SECOND);
    expect(told.copyOnWrite).toBeLessThan(2 * MiB);
    expect((await fleet.facts(leader)).totalForks).toBe(before + 1);
    expect(statSync(filesOf(fleet, DATABASE, leader).data).size).toBeGreaterThan(10 * MiB);
  });

  test('a fork that would outlive the pause is called off before it, and writes go on', async () => {
    await slowChild(await delayFor(60));
    const { told, longestGapMs } = await underPatientWrites(async () => {
      const id = await pause({ database: DATABASE, seconds: 2, approved: APPROVED });
      const { progress } = await untilStep(fleet, id, { state: 'stuck', withinMs: WITHIN_MS });
      const now = await fleet.facts(leader);
      await move(fleet, id, 'abort', 'another time');
      const { kind } = await failed(fleet, id);
      return { progress, now, kind };
    });
    expect(told.progress.kind).toBe('NoHeadroom');
    expect(told.progress.problem).toContain('it was called off before that. Nothing was lost');
    expect(told.now.saving).toBe(false);
    expect(told.kind).toBe('RunbookAborted');
    expect(longestGapMs).toBeLessThan(3.5 * SECOND);
    await slowChild(0);
  });

  test('a pause whose agent and worker die ends by itself, and the runbook finds what was done', async () => {
    await slowChild(await delayFor(1));
    const { told, longestGapMs } = await underPatientWrites(async () => {
      const id = await pause({ database: DATABASE, seconds: 4, approved: APPROVED });
      await untilItForks();
      await Promise.all([fleet.dev.kill(`agent:${leader.host}`), fleet.dev.kill('worker')]);
      return paused(id);
    });
    expect(told).toMatchObject({ pausedMs: null });
    expect(told.copyOnWrite).toBeLessThan(2 * MiB);
    expect(longestGapMs).toBeGreaterThan(3 * SECOND);
    expect(longestGapMs).toBeLessThan(5.5 * SECOND);
    await slowChild(0);
  });

  test('writes can be made to wait for nothing else, and an abort lets them go on', async () => {
    const { longestGapMs } = await underPatientWrites(async () => {
      const id = await pause({ host: leader.host, seconds: 50, fork: 'nothing', approved: APPROVED });
      await untilStep(fleet, id, { state: 'running', step: 'pause writes' });
      await waitFor(() => redisAt(fleet, leader, async (redis) => blocked(await redis.info('clients')) > 0), {
        deadlineMs: WITHIN_MS,
        what: 'writers that wait',
      });
      await move(fleet, id, 'abort', 'long enough');
      expect((await failed(fleet, id)).kind).toBe('RunbookAborted');
    });
    expect(longestGapMs).toBeLessThan(30 * SECOND);
  });

  test('a follower is brought up while writes wait, when that was approved; else the command for it is named', async () => {
    const follower = await fleet.follower(DATABASE);
    await loseDirectory(fleet, DATABASE, follower);
    const refused = await failed(fleet, await bringUp(fleet, { database: DATABASE, way: 'full' }));
    expect(refused.kind).toBe('NoSafeWay');
    const [, seconds = ''] =
      /redis-fleet bring-up sessions-00 --pause-writes (\d+)/.exec(refused.problem) ?? [];
    expect(Number(seconds)).toBeGreaterThan(2);

    const before = (await fleet.facts(leader)).totalForks;
    const { told } = await underPatientWrites(async () => {
      const id = await bringUp(fleet, { database: DATABASE, pauseWrites: { seconds: 30 } });
      const { name, progress } = await untilStep(fleet, id, { state: 'waiting for approval' });
      expect(name).toBe('synchronise from the leader');
      expect(progress.danger).toContain(`Writes to ${DATABASE} will wait`);
      await move(fleet, id, 'approve', 'no other way');
      return broughtUp(fleet, id);
    });
    expect(told).toMatchObject({ way: 'full', leaderForks: 1 });
    expect(told.runbook.notes.find((note) => note.startsWith('Writes waited for'))).toMatch(
      /copied for the fork/,
    );
    expect((await fleet.facts(leader)).totalForks).toBe(before + 1);
    expect((await fleet.facts(leader)).lastCowBytes).toBeLessThan(2 * MiB);
    await caughtUpFollower(fleet, DATABASE);
    expect(existsSync(filesOf(fleet, DATABASE, follower).data)).toBe(true);
  });
});

function blocked(clients: string): number {
  return Number(/^blocked_clients:(\d+)/m.exec(clients)?.[1]);
}
