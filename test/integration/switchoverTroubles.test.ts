/**
 * What breaks a hand-over, wherever it breaks: at the end one process takes writes, it is the one that the record names,
 * and nothing acknowledged is lost. Attempts are run here by hand, so that they break exactly where the story says.
 */

import { afterEach, beforeAll, beforeEach, afterAll, describe, expect, test } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { ADMINISTRATOR_USER } from '../../src/fleet/redisConfig.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Writer } from '../../src/testbed/writer.js';
import { bringUp, broughtUp, caughtUpFollower, killProcess, redisAt } from './bringUpStage.js';
import {
  expectWhole,
  forksOf,
  isReversed,
  Owner,
  problemIn,
  signal,
  steps,
  whoLeads,
  writesGoOn,
  writing,
  type Forks,
} from './switchoverStage.js';

const DATABASE = 'sessions-00';
/** As Redis keeps it. Milliseconds. */
const PAUSE = 1_500;

let fleet: TestFleet;
let owner: Owner;
let before: DatabaseRecord & { readonly follower: Endpoint };
let writer: Writer;
let forks: Forks;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 1, name: 'troubles', maxmemory: '256MiB' });
  await loadData({ ...fleet.application, where: await fleet.leader(DATABASE), megabytes: 5, seed: 1 });
  owner = new Owner(fleet, DATABASE);
});
afterAll(async () => {
  await fleet.stop();
});

beforeEach(async () => {
  await caughtUpFollower(fleet, DATABASE);
  forks = await forksOf(fleet, DATABASE);
  before = await owner.claim();
  writer = await writing(fleet, DATABASE, 2_000);
});
afterEach(async () => {
  await writer.stop();
});

/** The old leader took up writes again, and the follower follows it still, or again. */
async function expectUndone(): Promise<void> {
  await writesGoOn(writer);
  await owner.release();
  const after = await fleet.record(DATABASE);
  expect({ leader: after.leader, epoch: after.epoch }).toEqual({
    leader: before.leader,
    epoch: before.epoch,
  });
  await expectWhole(fleet, DATABASE, writer);
  expect(await whoLeads(fleet, DATABASE)).toEqual([before.leader.host]);
}

async function expectDone(): Promise<void> {
  await owner.release();
  expect(isReversed(before, await fleet.record(DATABASE))).toBe(true);
  await expectWhole(fleet, DATABASE, writer);
  expect(await whoLeads(fleet, DATABASE)).toEqual([before.follower.host]);
  expect(await forksOf(fleet, DATABASE)).toEqual(forks);
}

/** What it had before it was killed is still on its disk, or the leader has it in its backlog. */
async function followerBack(): Promise<void> {
  await owner.release();
  await broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
  before = await owner.claim();
}

describe('the follower', () => {
  test('freezes in the pause: writes go on at the old leader before the pause would have ended', async () => {
    const problem = await problemIn(
      owner.attempt(before, { meanwhile: () => signal(fleet, DATABASE, before.follower, 'SIGSTOP') }),
    );
    expect(problem.kind).toBe('HandOverUndone');
    expect(problem.message).toContain(`Writes go on at ${before.leader.host} (`);
    await writesGoOn(writer);
    expect(writer.counts.longestGapMs).toBeLessThan(2 * PAUSE);
    signal(fleet, DATABASE, before.follower, 'SIGCONT');
    await expectUndone();
    expect(await forksOf(fleet, DATABASE)).toEqual(forks);
  });

  test('is killed in the pause: writes go on at the old leader', async () => {
    await fleet.save(DATABASE, before.follower);
    const kill = (): Promise<void> => killProcess(fleet, DATABASE, before.follower);
    const problem = await problemIn(owner.attempt(before, { meanwhile: kill }));
    expect(problem.kind).toBe('HandOverUndone');
    await writesGoOn(writer);
    expect(writer.counts.longestGapMs).toBeLessThan(2 * PAUSE);
    await followerBack();
    await expectUndone();
  });

  test('rejects the promotion: the old leader, demoted already, leads again', async () => {
    const rules = (...rule: string[]) =>
      redisAt(fleet, before.follower, (redis) => redis.call('ACL', 'SETUSER', ADMINISTRATOR_USER, ...rule));
    await rules('-replicaof');
    const problem = await problemIn(owner.attempt(before));
    await rules('+@all');
    expect(problem.kind).toBe('HandOverUndone');
    expect(problem.message).toContain('refuses the user');
    await expectUndone();
    expect(await forksOf(fleet, DATABASE)).toEqual(forks);
  });

  test('never catches up: writes go on after the time that they may wait', async () => {
    // The stream to it is held up where nothing but equal offsets can tell.
    const stall = (): Promise<unknown> => steps.pause(fleet, { ...before, leader: before.follower }, 5_000);
    const problem = await problemIn(
      owner.attempt(before, {
        async meanwhile() {
          await stall();
          await writesGoOn(writer);
        },
      }),
    );
    expect(problem.kind).toBe('HandOverUndone');
    expect(problem.message).toMatch(/was still \d+ bytes behind after 1000 ms/);
    await writesGoOn(writer);
    expect(writer.counts.longestGapMs).toBeLessThan(2 * PAUSE);
    await expectUndone();
  });
});

describe('the leader', () => {
  test('is killed in the pause: nothing is changed, and the follower has what was acknowledged', async () => {
    const file = await fleet.save(DATABASE, before.leader);
    expect(file).toContain(DATABASE);
    const problem = await problemIn(
      owner.attempt(before, { meanwhile: () => killProcess(fleet, DATABASE, before.leader) }),
    );
    expect(problem.kind).toBe('HandOverUndone');
    expect(problem.message).toContain(`redis-fleet promote ${DATABASE}`);
    expect(await fleet.record(DATABASE)).toEqual(await owner.change((record) => record));
    expect((await fleet.facts(before.follower)).role).toBe('follower');
    // Here it ends for a planned change; for the stories after this one the follower takes over by hand.
    await steps.promote(fleet, before);
    await owner.change((record) => ({
      ...record,
      epoch: record.epoch + 1,
      leader: before.follower,
      follower: before.leader,
    }));
    await followerBack();
    await owner.release();
    await expectWhole(fleet, DATABASE, writer);
  });

  test('freezes in the pause: nothing is changed, and it leads when it wakes', async () => {
    const problem = await problemIn(
      owner.attempt(before, { meanwhile: () => signal(fleet, DATABASE, before.leader, 'SIGSTOP') }),
    );
    expect(problem.kind).toBe('HandOverUndone');
    expect(problem.message).toContain('its pause ends by itself');
    signal(fleet, DATABASE, before.leader, 'SIGCONT');
    await expectUndone();
  });
});

describe('the worker is killed', () => {
  test('in the pause, and no other one lives: Redis ends the pause by itself', async () => {
    await steps.pause(fleet, before, PAUSE);
    await fleet.dev.hold('worker');
    await writesGoOn(writer);
    expect(writer.counts.longestGapMs).toBeGreaterThan(PAUSE / 2);
    expect(writer.counts.longestGapMs).toBeLessThan(2 * PAUSE);
    await fleet.dev.release('worker');
    await expectUndone();
  });

  test('in the pause: the next attempt does all of it', async () => {
    await steps.pause(fleet, before, PAUSE);
    await owner.attempt(before);
    await expectDone();
  });

  test('after the demotion: the next attempt promotes', async () => {
    await steps.pause(fleet, before);
    await steps.demote(fleet, before);
    await owner.attempt(before);
    await expectDone();
  });

  test('after the promotion: the next attempt sets the record', async () => {
    await steps.pause(fleet, before);
    await steps.demote(fleet, before);
    await steps.promote(fleet, before);
    const { pausedMs } = await owner.attempt(before);
    expect(pausedMs).toBeNull();
    await expectDone();
  });

  test('after the record was set: the next attempt unpauses the old leader', async () => {
    await steps.pause(fleet, before, 60_000);
    await steps.demote(fleet, before);
    await steps.promote(fleet, before);
    await owner.change((record) => ({
      ...record,
      epoch: record.epoch + 1,
      leader: before.follower,
      follower: before.leader,
    }));
    const { record, pausedMs } = await owner.attempt(before);
    expect({ leader: record.leader, pausedMs }).toEqual({ leader: before.follower, pausedMs: null });
    // Paused for a minute it would not apply what it follows.
    await expectDone();
  });

  test('after the demotion, and the follower with it: the old leader leads again', async () => {
    await fleet.save(DATABASE, before.follower);
    await steps.pause(fleet, before);
    await steps.demote(fleet, before);
    await killProcess(fleet, DATABASE, before.follower);
    const problem = await problemIn(owner.attempt(before));
    expect(problem.kind).toBe('HandOverUndone');
    await writesGoOn(writer);
    await followerBack();
    await expectUndone();
  });

  test('after the demotion, and the follower is frozen: nobody leads until it is certain that it does not', async () => {
    await fleet.save(DATABASE, before.follower);
    await steps.pause(fleet, before);
    await steps.demote(fleet, before);
    signal(fleet, DATABASE, before.follower, 'SIGSTOP');
    const doubt = await problemIn(owner.attempt(before));
    expect(doubt.kind).toBe('NotFenced');
    expect((await fleet.facts(before.leader)).role).toBe('follower');
    await killProcess(fleet, DATABASE, before.follower);
    expect((await problemIn(owner.attempt(before))).kind).toBe('HandOverUndone');
    await writesGoOn(writer);
    await followerBack();
    await expectUndone();
  });

  test('and an engineer aborts: what nobody leads goes back to the old leader, what leads stays', async () => {
    await steps.demote(fleet, before);
    await owner.settle(before);
    await writesGoOn(writer);
    expect(await whoLeads(fleet, DATABASE)).toEqual([before.leader.host]);
    await waitFor(async () => (await fleet.facts(before.follower)).link?.up === true, {
      deadlineMs: 30_000,
      what: 'the follower to be connected again',
    });
    await steps.demote(fleet, before);
    await steps.promote(fleet, before);
    await owner.settle(before);
    await expectDone();
  });
});

describe('another one is at work', () => {
  test('a stalled attempt wakes after the next one has done it all: it can reach neither process', async () => {
    let wake: () => void = () => undefined;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    let began: () => void = () => undefined;
    const stalled = new Promise<void>((resolve) => (began = resolve));
    const first = problemIn(
      owner.attempt(before, {
        async meanwhile() {
          began();
          await asleep;
        },
      }),
    );
    await stalled;
    await owner.attempt(before);
    wake();
    expect((await first).kind).toBe('HandOverUndone');
    await expectDone();
  });

  test('a more urgent runbook takes the database after the last look: the record stays with it', async () => {
    const urgent = { ...owner.operation, workflowId: 'promoteFollower/x', urgency: 'urgent' } as const;
    const take = (): Promise<unknown> => owner.change((record) => ({ ...record, operation: urgent }));
    const problem = await problemIn(owner.attempt(before, { meanwhile: take }));
    expect(problem.kind).toBe('OwnershipLost');
    expect(problem.message).toContain('promoteFollower/x');
    const { epoch, operation } = await fleet.record(DATABASE);
    expect({ epoch, operation }).toEqual({ epoch: before.epoch, operation: urgent });
    expect(await whoLeads(fleet, DATABASE)).toEqual([before.follower.host]);
    // It finds one that leads and has all, and says so.
    await owner.claim();
    await owner.attempt(before);
    await expectDone();
  });

  test('a runbook that took the database and gave it back: the new leader is recorded all the same', async () => {
    await owner.attempt(before, { meanwhile: () => owner.release() });
    await expectDone();
  });

  test('the record is written, and its answer lost: the next look finds it written', async () => {
    const { records } = owner;
    let lost = 0;
    await owner.attempt(before, {
      records: {
        ...records,
        async compareAndSet(record, index) {
          const written = await records.compareAndSet(record, index);
          if (lost++ > 0) return written;
          throw new FleetError('Unreachable', 'The answer was lost.');
        },
      },
    });
    expect(lost).toBe(1);
    await expectDone();
  });
});
