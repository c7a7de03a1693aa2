/** Planned changes of leader on a whole fleet: nothing is lost, nobody forks, and whoever is wrong is told so. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { CONTROL_QUEUE } from '../../src/fleet/names.js';
import type { SwitchoverPlan } from '../../src/fleet/switchover.js';
import { loadData } from '../../src/testbed/load.js';
import { failed, redisAt } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import {
  expectWhole,
  forksOf,
  isReversed,
  startSwitchover,
  switchedOver,
  whoLeads,
  writing,
} from './switchoverStage.js';

const [FIRST, SECOND, THIRD] = ['sessions-00', 'sessions-01', 'sessions-02'] as const;
const [A, B] = ['redis-01-a', 'redis-01-b'] as const;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 3, name: 'planned', maxmemory: '1GiB' });
  for (const database of fleet.databases) {
    await loadData({ ...fleet.application, where: await fleet.leader(database), megabytes: 2, seed: 1 });
  }
});
afterAll(async () => {
  await fleet.stop();
});

test('50 switchovers to and fro under full load lose nothing, and nobody forks', async () => {
  const forks = await forksOf(fleet, FIRST);
  const { epoch } = await fleet.record(FIRST);
  const writer = await writing(fleet, FIRST);
  for (let n = 0; n < 50; n++) {
    const before = await fleet.record(FIRST);
    const { handedOver } = await switchedOver(fleet, { database: FIRST });
    expect(handedOver).toMatchObject([{ database: FIRST, from: before.leader, to: before.follower }]);
    expect(isReversed(before, await fleet.record(FIRST))).toBe(true);
  }
  await expectWhole(fleet, FIRST, writer);
  expect((await fleet.record(FIRST)).epoch).toBe(epoch + 50);
  expect(await forksOf(fleet, FIRST)).toEqual(forks);
});

test('clients of the application that stay connected to the old leader are let go of', async () => {
  const { leader, follower } = await fleet.record(FIRST);
  const writer = await writing(fleet, FIRST, 100);
  const clients = (): Promise<number> =>
    redisAt(
      fleet,
      leader,
      async (redis) =>
        String(await redis.call('CLIENT', 'LIST', 'TYPE', 'NORMAL'))
          .split('\n')
          .filter((line) => / user=default /.test(line)).length,
    );
  expect(await clients()).toBe(1);
  await switchedOver(fleet, { database: FIRST });
  expect(await clients()).toBe(0);
  await expectWhole(fleet, FIRST, writer);
  expect(await whoLeads(fleet, FIRST)).toEqual([follower?.host]);
});

describe('several databases', () => {
  test('all that a host leads, and then some of them back, in the order of the request', async () => {
    for (const database of fleet.databases) {
      if ((await fleet.leader(database)).host !== A) await switchedOver(fleet, { database });
    }
    const writers = await Promise.all(fleet.databases.map((database) => writing(fleet, database, 500)));
    const there = await switchedOver(fleet, { host: A });
    expect(there.handedOver.map(({ database, to }) => [database, to.host])).toEqual(
      fleet.databases.map((database) => [database, B]),
    );
    const back = await switchedOver(fleet, { databases: [THIRD, FIRST], expectedLeader: B });
    expect(back.handedOver.map(({ database }) => database)).toEqual([THIRD, FIRST]);
    for (const [index, database] of fleet.databases.entries()) {
      const writer = writers[index];
      if (writer !== undefined) await expectWhole(fleet, database, writer);
    }
    expect((await fleet.leader(SECOND)).host).toBe(B);
  });

  test('a host that leads nothing is refused', async () => {
    const { kind, problem } = await failed(fleet, await startSwitchover(fleet, { host: 'redis-01-c' }));
    expect({ kind, problem }).toMatchObject({ kind: 'NotFound' });
    expect(problem).toContain('Host redis-01-c leads no database of fleet planned');
  });

  test('one that cannot be handed over leaves the others alone, and is named in the end', async () => {
    const gone = await fleet.record(SECOND);
    if (gone.follower === null) throw new Error('no follower');
    // It follows nobody, as after a start.
    await redisAt(fleet, gone.follower, (redis) => redis.replicaof('127.0.0.1', 1));
    const before = await fleet.record(FIRST);
    const end = await failed(fleet, await startSwitchover(fleet, { databases: [SECOND, FIRST] }));
    expect(end.kind).toBe('HandOverUndone');
    expect(end.problem).toContain(`Handed over: ${FIRST}. Not well: The follower of ${SECOND}, `);
    expect(end.problem).toContain(`redis-fleet bring-up ${SECOND}`);
    expect(isReversed(before, await fleet.record(FIRST))).toBe(true);
    expect(await fleet.record(SECOND)).toEqual(gone);
    expect((await fleet.record(FIRST)).operation).toBeUndefined();
    await redisAt(fleet, gone.follower, (redis) => redis.replicaof(gone.leader.address, gone.leader.port));
  });
});

describe('what is only asked', () => {
  test('a dry run says what would be done, and changes nothing', async () => {
    const before = await fleet.record(FIRST);
    const { dryRun, plans, handedOver, runbook } = await switchedOver(fleet, {
      database: FIRST,
      dryRun: true,
    });
    expect({ dryRun, handedOver }).toEqual({ dryRun: true, handedOver: [] });
    expect(plans).toMatchObject([
      { database: FIRST, verdict: { may: true } },
    ] satisfies Partial<SwitchoverPlan>[]);
    expect(runbook.notes[0]).toMatch(/^sessions-00 would be handed over from redis-01-[ab] \(/);
    expect(await fleet.record(FIRST)).toEqual(before);
    expect(await whoLeads(fleet, FIRST)).toEqual([before.leader.host]);
  });

  test('on the command line: a dry run, a switchover, and a call that names nothing', async () => {
    const before = await fleet.record(THIRD);
    const dry = await cli(fleet.dev.env, ['switchover', THIRD, '--dry-run']);
    expect(dry).toMatchObject({ code: 0, err: '' });
    expect(dry.out).toContain(`${THIRD} would be handed over from ${before.leader.host}`);
    expect(await fleet.record(THIRD)).toEqual(before);
    const done = await cli(fleet.dev.env, [
      'switchover',
      THIRD,
      '--expected-leader',
      before.leader.host,
      '--json',
    ]);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(done.out)).toMatchObject({
      end: 'well',
      result: { handedOver: [{ database: THIRD }] },
    });
    expect(isReversed(before, await fleet.record(THIRD))).toBe(true);
    const wrong = await cli(fleet.dev.env, ['switchover']);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('Name either databases or --host');
    const unknown = await cli(fleet.dev.env, ['switchover', 'sesions-00']);
    expect(unknown.code).toBe(1);
    expect(unknown.err).toContain('Did you mean sessions-00?');
  });
});

describe('two people who do not know of each other', () => {
  test('whoever believes in another leader is refused, and told who leads', async () => {
    const before = await fleet.record(FIRST);
    const wrong = before.follower?.host ?? '';
    const { kind, problem } = await failed(
      fleet,
      await startSwitchover(fleet, { database: FIRST, expectedLeader: wrong }),
    );
    expect(kind).toBe('HandOverUndone');
    expect(problem).toContain(`is led by ${before.leader.host} (`);
    expect(problem).toContain(`and not by ${wrong} as was expected`);
    expect(await fleet.record(FIRST)).toEqual(before);
  });

  test('of two switchovers that start in the same moment one is refused, and told of the other', async () => {
    const before = await fleet.record(FIRST);
    const writer = await writing(fleet, FIRST, 200);
    const ids = ['ann/sessions-00', 'bob/sessions-00'];
    // Nobody works on either until both are there.
    await fleet.dev.hold('worker');
    for (const workflowId of ids) {
      await fleet.dev.temporal.workflow.start('switchover', {
        taskQueue: CONTROL_QUEUE,
        workflowId,
        args: [{ database: FIRST }],
      });
    }
    await fleet.dev.release('worker');
    const ends = await Promise.all(
      ids.map(async (id) => {
        const handle = fleet.dev.temporal.workflow.getHandle(id);
        return await handle.result().then(
          () => 'well',
          (error: unknown) => String(error instanceof Error ? (error.cause as Error).message : error),
        );
      }),
    );
    const refused = ends.findIndex((end) => end !== 'well');
    expect(ends.filter((end) => end === 'well')).toHaveLength(1);
    expect(ends[refused]).toContain(
      `Database ${FIRST} belongs to ${ids[1 - refused] ?? ''} (switchover, planned`,
    );
    await expectWhole(fleet, FIRST, writer);
    expect(isReversed(before, await fleet.record(FIRST))).toBe(true);
  });
});
