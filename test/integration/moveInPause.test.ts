/** A database leaves a host on which not even its follower's fork fits: writes wait for that one, no longer than was approved. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/fleet/record.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { expectAtRest, failed, move, redisAt, SECOND, state, untilStep } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import { forkCounts, isGoneFrom, startCrampedFleet, startMove, type Moved } from './moveStage.js';
import { expectWhole, PATIENT, writing } from './switchoverStage.js';

const DATABASE = 'sessions-00';
const STEP = 'copy while writes wait';
const MiB = 1024 ** 2;
const WITHIN_MS = 60 * SECOND;

let fleet: TestFleet;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startCrampedFleet('cramped');
  follower = await fleet.follower(DATABASE);
});
afterAll(async () => {
  await fleet.stop();
});

/** A child that takes so long. */
async function slowChild(seconds: number): Promise<void> {
  const { keys } = await fleet.facts(follower);
  const each = Math.round((seconds * 1e6) / keys);
  await redisAt(fleet, follower, (redis) => redis.config('SET', 'rdb-key-save-delay', each));
}

interface Before {
  readonly record: Awaited<ReturnType<TestFleet['record']>>;
  readonly forks: Awaited<ReturnType<typeof forkCounts>>;
}

async function lookBefore(): Promise<Before> {
  const record = await fleet.record(DATABASE);
  return { record, forks: await forkCounts(fleet, record) };
}

/** But for forks of the follower, which was asked for them. */
async function expectAsBefore({ record, forks }: Before, forksOfFollower: number): Promise<void> {
  const now = await fleet.record(DATABASE);
  expect({ ...now, updatedAt: '', updatedBy: '' }).toEqual({ ...record, updatedAt: '', updatedBy: '' });
  expect(await forkCounts(fleet, now)).toEqual({
    ...forks,
    [follower.host]: (forks[follower.host] ?? 0) + forksOfFollower,
  });
  for (const host of ['redis-02-a', 'redis-02-b']) expect(isGoneFrom(fleet, DATABASE, { host })).toBe(true);
  await expectAtRest(fleet, DATABASE);
}

describe("a move whose copy does not fit on the follower's host", () => {
  test('offers to let writes wait for it, and an abort leaves everything as it was', async () => {
    const before = await lookBefore();
    const writer = await writing(fleet, DATABASE, 200, PATIENT);
    const id = await startMove(fleet, { database: DATABASE, to: { server: 'redis-02' } });
    const { progress } = await untilStep(fleet, id, {
      state: 'waiting for approval',
      step: STEP,
      withinMs: WITHIN_MS,
    });
    expect(progress.danger).toContain(`writes to ${DATABASE} on redis-01-a will wait`);
    expect(progress.danger).toMatch(/for \d+ s at most/);
    await move(fleet, id, 'abort', 'not today');
    expect((await failed(fleet, id)).kind).toBe('RunbookAborted');
    await expectWhole(fleet, DATABASE, writer);
    await expectAsBefore(before, 0);
    expect(writer.counts.longestGapMs).toBeLessThan(10 * SECOND);
  });

  test('calls a fork off that would outlive what was approved: writes go on, and an abort undoes the rest', async () => {
    await slowChild(60);
    const before = await lookBefore();
    const writer = await writing(fleet, DATABASE, 200, PATIENT);
    const request = { database: DATABASE, to: { server: 'redis-02' }, pauseWrites: { seconds: 3 } };
    const id = await startMove(fleet, request);
    await untilStep(fleet, id, { state: 'waiting for approval', step: STEP, withinMs: WITHIN_MS });
    await move(fleet, id, 'approve', 'it has to leave');
    const { progress } = await untilStep(fleet, id, { state: 'stuck', step: STEP, withinMs: WITHIN_MS });
    expect(progress).toMatchObject({ kind: 'NoHeadroom' });
    expect(progress.problem).toContain('it was called off before that. Nothing was lost');
    expect((await fleet.facts(follower)).saving).toBe(false);
    await move(fleet, id, 'abort', 'another time');
    expect((await failed(fleet, id)).kind).toBe('RunbookAborted');
    await expectWhole(fleet, DATABASE, writer);
    await expectAsBefore(before, 1);
    expect(writer.counts.failed).toBe(0);
  });

  test('is done while writes wait, as long as the child lives; none is lost, and no leader forks', async () => {
    await slowChild(2);
    const before = await lookBefore();
    const writer = await writing(fleet, DATABASE, 200, PATIENT);
    // With a limit on the copy a fork is judged by its worst case, whatever the one that was called off has cost.
    const args = ['move', DATABASE, '--to', 'redis-02', '--pause-writes', '40', '--bandwidth', '1GiB'];
    const approval = ['--approve-pause', '--reason', 'it has to leave', '--by', 'ann', '--json'];
    const run = await cli(fleet.dev.env, [...args, ...approval]);
    expect(run).toMatchObject({ code: 0, err: '' });
    const { result } = JSON.parse(run.out) as { result: Moved };
    await expectWhole(fleet, DATABASE, writer);
    const { copiedInPause } = result;
    expect(result.leaderForks).toBe(0);
    expect(copiedInPause).toMatchObject({ seconds: 40, outlasted: false });
    expect(copiedInPause?.pausedMs).toBeGreaterThan(1.5 * SECOND);
    expect(copiedInPause?.pausedMs).toBeLessThan(40 * SECOND);
    expect(copiedInPause?.copyOnWrite).toBeLessThan(2 * MiB);
    expect(writer.counts.longestGapMs).toBeGreaterThan(1.5 * SECOND);
    expect(writer.counts.longestGapMs).toBeLessThan(40 * SECOND);
    const after = await fleet.record(DATABASE);
    expect(after).toMatchObject({ server: 'redis-02', epoch: before.record.epoch + 1 });
    expect(await forkCounts(fleet, after)).toEqual({ 'redis-02-a': 0, 'redis-02-b': 0 });
    const { notes } = await state(fleet, `moveDatabase/${DATABASE}`);
    expect(notes.join('\n')).toMatch(/Writes waited for \d+ ms; .* were copied for the fork\./);
    expect(notes.join('\n')).toContain('Forks of the leader so far: 0');
    await expectAtRest(fleet, DATABASE);
  });
});
