/** Databases move to other hosts while they are written to. */

import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectFleet } from '../../src/client/index.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { maintenanceStore } from '../../src/records/maintenance.js';
import { permitStore } from '../../src/records/permits.js';
import { watchStore } from '../../src/records/watches.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import type { Sweep } from '../../src/workflows/backupSweep.js';
import { failed, move, pidOf, SECOND, state, untilStep } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import { forkCounts, isGoneFrom, moved, startMove } from './moveStage.js';
import { expectWhole, writesGoOn, writing } from './switchoverStage.js';

const [FIRST, SECOND_ONE, THIRD] = ['sessions-00', 'sessions-01', 'sessions-02'] as const;
const MIB = 1024 ** 2;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 2, databasesPerServer: 3, name: 'moves', maxmemory: '256MiB' });
  for (const database of [FIRST, SECOND_ONE]) {
    await loadData({ ...fleet.application, where: await fleet.leader(database), megabytes: 20, seed: 1 });
  }
});
afterAll(async () => {
  await fleet.stop();
});

async function watchedBy(server: string): Promise<readonly string[]> {
  const view = await watchStore(fleet.dev.consul, fleet.dev.fleet.name).read(server);
  return view?.databases.map(({ database }) => database) ?? [];
}

describe('a move to another server', () => {
  test('under full load loses no acknowledged write, no leader forks, and a client moves along', async () => {
    const before = await fleet.record(FIRST);
    const connected = connectFleet({ fleet: fleet.dev.fleet.name, consul: fleet.dev.consul });
    const { password } = fleet.application;
    try {
      const client = connected.redis(FIRST, { password });
      const writer = Writer.start({ open: () => client, ...fleet.application, rate: 'full' });
      await writesGoOn(writer);
      const end = await moved(fleet, await startMove(fleet, { database: FIRST, to: { server: 'redis-02' } }));
      await expectWhole(fleet, FIRST, writer);
      const after = await fleet.record(FIRST);
      expect(after).toMatchObject({
        server: 'redis-02',
        epoch: before.epoch + 1,
        leader: { host: 'redis-02-a', port: before.leader.port },
        follower: { host: 'redis-02-b', port: before.leader.port },
      });
      expect(after).not.toHaveProperty('extraFollowers');
      expect(await forkCounts(fleet, after)).toEqual({ 'redis-02-a': 0, 'redis-02-b': 0 });
      expect(end).toMatchObject({ leaderForks: 0, epoch: after.epoch });
      for (const old of [before.leader, before.follower]) {
        expect(old !== null && isGoneFrom(fleet, FIRST, old)).toBe(true);
      }
    } finally {
      connected.close();
    }
  });

  test('is watched there from then on, and backed up from its new follower', async () => {
    await waitFor(
      async () =>
        (await watchedBy('redis-02')).includes(FIRST) && !(await watchedBy('redis-01')).includes(FIRST),
      { deadlineMs: 60 * SECOND, what: `the watch of redis-02 to have ${FIRST}` },
    );
    const host = 'redis-02-b';
    const subject = { fleet: fleet.dev.fleet.name, hosts: [host] };
    const run = await startRunbook(fleet.dev.temporal, 'backupSweep', host, { host }, subject);
    const end = await runbookEnd(fleet.dev.temporal, run);
    if (end.how !== 'well') throw new Error(end.problem);
    const { databases } = end.result as Sweep;
    expect(databases.find(({ database }) => database === FIRST)).toMatchObject({ how: 'verified' });
  });

  test('is what the fleet file does not know, and nothing wants it back', async () => {
    const plan = await cli(fleet.dev.env, ['plan', '--json']);
    const { changes } = JSON.parse(plan.out) as { changes: readonly { kind: string; database?: string }[] };
    expect(changes.filter(({ database }) => database === FIRST).map(({ kind }) => kind)).toEqual([
      'database elsewhere',
    ]);
    const check = await cli(fleet.dev.env, ['check', '--json']);
    const { findings } = JSON.parse(check.out) as { findings: readonly { subject: string; text: string }[] };
    const about = findings.filter(({ subject, text }) => subject === FIRST && !/backup/.test(text));
    expect(about).toEqual([]);
  });
});

describe('an abort', () => {
  test('before the hand-over leaves everything as it was, after one fork of the follower for both', async () => {
    const before = await fleet.record(SECOND_ONE);
    const forks = await forkCounts(fleet, before);
    const { backlog } = await fleet.facts(before.leader);
    const writer = await writing(fleet, SECOND_ONE, 500);
    const id = await startMove(fleet, { database: SECOND_ONE, to: { server: 'redis-02' }, ask: true });
    await untilStep(fleet, id, { state: 'waiting for approval', step: 'hand over' });
    const prepared = await fleet.record(SECOND_ONE);
    expect(prepared.extraFollowers?.map(({ host }) => host)).toEqual(['redis-02-a', 'redis-02-b']);
    const { 'redis-01-a': ofLeader, 'redis-01-b': ofFollower } = await forkCounts(fleet, prepared);
    expect({ ofLeader, ofFollower }).toEqual({
      ofLeader: forks['redis-01-a'],
      ofFollower: (forks['redis-01-b'] ?? 0) + 1,
    });
    await move(fleet, id, 'abort', 'not today');
    const { kind, runbook } = await failed(fleet, id);
    expect(kind).toBe('RunbookAborted');
    expect(runbook.steps.filter(({ progress }) => /stuck|not undone/.test(progress.state))).toEqual([]);
    await expectWhole(fleet, SECOND_ONE, writer);
    const after = await fleet.record(SECOND_ONE);
    expect({ ...after, updatedAt: '', updatedBy: '' }).toEqual({ ...before, updatedAt: '', updatedBy: '' });
    for (const host of ['redis-02-a', 'redis-02-b'])
      expect(isGoneFrom(fleet, SECOND_ONE, { host })).toBe(true);
    expect((await fleet.facts(before.leader)).backlog.size).toBe(backlog.size);
    expect(await permitStore(fleet.dev.consul, fleet.dev.fleet.name).list()).toEqual([]);
  });
});

describe('a target that dies while it receives', () => {
  test('is told of, harms nobody, and gets the data at the next attempt, no faster than it may', async () => {
    const before = await fleet.record(SECOND_ONE);
    const writer = await writing(fleet, SECOND_ONE, 500);
    const bandwidth = 4 * MIB;
    const id = await startMove(fleet, { database: SECOND_ONE, to: { server: 'redis-02' }, bandwidth });
    const target = { ...before.leader, host: 'redis-02-a' };
    await untilStep(fleet, id, { state: 'running', step: 'copy from the follower' });
    const source = await fleet.follower(SECOND_ONE);
    await waitFor(async () => (await fleet.facts(source)).saving, {
      deadlineMs: 60 * SECOND,
      everyMs: 20,
      what: 'the follower to give its data',
    });
    process.kill(pidOf(fleet, SECOND_ONE, target), 'SIGKILL');
    const { progress } = await untilStep(fleet, id, {
      state: 'stuck',
      step: 'copy from the follower',
      withinMs: 120 * SECOND,
    });
    expect(progress.problem).toContain('redis-02-a');
    await writesGoOn(writer);
    expect(await fleet.record(SECOND_ONE)).toMatchObject({
      leader: before.leader,
      follower: before.follower,
    });
    await move(fleet, id, 'retry', 'it may start again');
    const began = performance.now();
    const end = await moved(fleet, id);
    const seconds = (performance.now() - began) / 1000;
    await expectWhole(fleet, SECOND_ONE, writer);
    expect(end).toMatchObject({ leader: { host: 'redis-02-a' }, leaderForks: 0 });
    // Some 14 MB travel to each of the two, which share what they may take.
    expect(seconds).toBeGreaterThan(4);
  });
});

describe('a move of the leader alone', () => {
  test('on the command line: the follower stays where it is', async () => {
    const before = await fleet.record(THIRD);
    const writer = await writing(fleet, THIRD, 500);
    const args = ['move', THIRD, '--leader', 'redis-02-a', '--follower', 'redis-01-b', '--json'];
    const done = await cli(fleet.dev.env, args);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(done.out)).toMatchObject({ end: 'well', result: { leader: { host: 'redis-02-a' } } });
    await expectWhole(fleet, THIRD, writer);
    expect(await fleet.record(THIRD)).toMatchObject({ server: 'redis-02', follower: before.follower });
    expect(isGoneFrom(fleet, THIRD, before.leader)).toBe(true);
  });

  test('is refused where it makes no sense, or nobody may be moved to', async () => {
    const there = await cli(fleet.dev.env, ['move', THIRD, '--to', 'redis-02']);
    expect(there.code).toBe(1);
    expect(there.out).toContain(`redis-fleet bring-up ${THIRD} --host redis-02-b`);
    const nowhere = await cli(fleet.dev.env, ['move', THIRD]);
    expect(nowhere.code).toBe(2);
    expect(nowhere.err).toContain(`redis-fleet move ${THIRD} --to SERVER`);
    const closed = maintenanceStore(fleet.dev.consul, fleet.dev.fleet.name);
    const since = new Date().toISOString();
    await closed.begin({ scope: 'host', name: 'redis-01-a', by: 'ann', reason: 'new disks', since });
    const id = await startMove(fleet, { database: THIRD, to: { server: 'redis-01' } });
    const { kind, problem } = await failed(fleet, id);
    expect(kind).toBe('InvalidRequest');
    expect(problem).toContain('Nothing is moved to redis-01-a: host redis-01-a is in maintenance');
    expect((await state(fleet, id)).decisions).toEqual([]);
    await closed.end('host', 'redis-01-a');
    expect((await fleet.record(THIRD)).operation).toBeUndefined();
  });
});
