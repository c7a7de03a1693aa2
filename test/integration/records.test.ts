import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consulKeys } from '../../src/fleet/names.js';
import { recordStore } from '../../src/records/databases.js';
import type { RecordList, RecordStore } from '../../src/records/databases.js';
import { fleetStore } from '../../src/records/fleet.js';
import { ABSENT, compareAndDelete, compareAndSet, readEntry } from '../../src/records/kv.js';
import { startTestConsul } from '../../src/testbed/consul.js';
import type { TestConsul } from '../../src/testbed/consul.js';
import { startTestTemporal } from '../../src/testbed/temporal.js';
import type { TestTemporal } from '../../src/testbed/temporal.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { demoFleet, endpointOn, startCaller } from './caller.js';
import type { Caller, Stage } from './caller.js';

const DATABASES = ['sessions-00', 'sessions-01'];
const LEADER = endpointOn(1, 'a');
const FOLLOWER = endpointOn(1, 'b');

let consul: TestConsul;
let temporal: TestTemporal;
let stage: Stage;
let records: RecordStore;
let fleets = 0;

beforeAll(async () => {
  [consul, temporal] = await Promise.all([startTestConsul({ durable: true }), startTestTemporal()]);
});
afterAll(async () => {
  await Promise.all([consul.stop(), temporal.stop()]);
});

beforeEach(async () => {
  fleets += 1;
  const fleet = `fleet-${fleets}`;
  stage = { consul: consul.consul, client: temporal.client, fleet };
  records = recordStore(consul.consul, fleet);
  await fleetStore(consul.consul, fleet).write(demoFleet(fleet), ABSENT);
});

/** Both databases as a finished provisioning leaves them. */
async function provisioned(): Promise<void> {
  const caller = await startCaller(stage, 'provisionServer');
  await caller.activities.createRecords({
    records: DATABASES.map((database, at) => ({
      database,
      server: 'redis-01',
      leader: endpointOn(1, 'a', at),
    })),
    urgency: 'planned',
  });
  await caller.activities.establishRecords({
    records: DATABASES.map((database, at) => ({
      database,
      leader: endpointOn(1, 'a', at),
      follower: endpointOn(1, 'b', at),
    })),
  });
  await caller.activities.releaseDatabases({ databases: DATABASES });
}

async function claims(
  caller: Caller,
  databases = ['sessions-00'],
  urgency: 'planned' | 'urgent' = 'planned',
) {
  return await caller.activities.claimDatabases({ databases, urgency });
}

async function ownerOf(database: string): Promise<string | null> {
  return (await records.read(database))?.record.operation?.workflowId ?? null;
}

/** The failure that a workflow would see. */
async function failure(promise: Promise<unknown>): Promise<ApplicationFailure> {
  const error: unknown = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ApplicationFailure) return error;
  throw new Error(`expected a failure, got ${String(error)}`);
}

describe('a database has one owner', () => {
  test('of twenty runbooks that claim it at once, one gets it, and the others are told which', async () => {
    await provisioned();
    const callers = await Promise.all(Array.from({ length: 20 }, () => startCaller(stage)));
    const results = await Promise.allSettled(callers.map((caller) => claims(caller)));

    const winners = callers
      .filter((_, at) => results[at]?.status === 'fulfilled')
      .map(({ workflowId }) => workflowId);
    expect(winners).toEqual([await ownerOf('sessions-00')]);
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toMatchObject({ type: 'DatabaseOwned', nonRetryable: true });
      expect(String(result.reason)).toContain(winners[0]);
    }
  });

  test('of eight that claim both databases at once, one gets both and nobody keeps half', async () => {
    await provisioned();
    const callers = await Promise.all(Array.from({ length: 8 }, () => startCaller(stage)));
    const results = await Promise.allSettled(
      callers.map((caller, at) => claims(caller, at % 2 === 0 ? DATABASES : DATABASES.toReversed())),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await ownerOf('sessions-00')).toBe(await ownerOf('sessions-01'));
  });

  test('a claim of two takes neither when one is owned', async () => {
    await provisioned();
    const [first, second] = [await startCaller(stage), await startCaller(stage)];
    await claims(first, ['sessions-01']);
    expect(await failure(claims(second, DATABASES))).toMatchObject({ type: 'DatabaseOwned' });
    expect(await ownerOf('sessions-00')).toBeNull();
    expect(await ownerOf('sessions-01')).toBe(first.workflowId);
  });

  test('a claim that is made again, because its answer was lost, finds itself and changes nothing', async () => {
    await provisioned();
    const caller = await startCaller(stage);
    await claims(caller, DATABASES);
    const before = await records.list();
    await claims(caller, DATABASES);
    expect(await records.list()).toEqual(before);
  });

  test('what a dead runbook owned is taken over', async () => {
    await provisioned();
    const [dead, heir] = [await startCaller(stage), await startCaller(stage)];
    await claims(dead);
    expect(await failure(claims(heir))).toMatchObject({ type: 'DatabaseOwned' });
    await dead.die();
    const [record] = await claims(heir);
    expect(record?.operation?.workflowId).toBe(heir.workflowId);
  });

  test('a promotion preempts a bring-up, which notices at its next step and spoils nothing by tidying up', async () => {
    await provisioned();
    const [bringUp, promotion] = [await startCaller(stage), await startCaller(stage, 'promoteFollower')];
    await claims(bringUp);
    await bringUp.activities.confirmOwnership({ databases: ['sessions-00'] });
    await claims(promotion, ['sessions-00'], 'urgent');

    const noticed = await failure(bringUp.activities.confirmOwnership({ databases: ['sessions-00'] }));
    expect(noticed).toMatchObject({ type: 'OwnershipLost', nonRetryable: true });
    expect(noticed.message).toContain(`redis-fleet runbook show ${promotion.workflowId}`);
    const late = bringUp.activities.setFollower({
      database: 'sessions-00',
      epoch: 1,
      follower: endpointOn(2, 'b'),
      role: 'follower',
    });
    expect(await failure(late)).toMatchObject({ type: 'OwnershipLost' });

    await bringUp.activities.releaseDatabases({ databases: ['sessions-00'] });
    expect(await ownerOf('sessions-00')).toBe(promotion.workflowId);
    expect((await records.read('sessions-00'))?.record.follower).toEqual(FOLLOWER);
  });

  test('a preemption that fails half way gives back what it took', async () => {
    await provisioned();
    const [routine, urgent, promotion] = [
      await startCaller(stage),
      await startCaller(stage),
      await startCaller(stage),
    ];
    await claims(routine, ['sessions-00']);
    await claims(urgent, ['sessions-01'], 'urgent');
    expect(await failure(claims(promotion, DATABASES, 'urgent'))).toMatchObject({ type: 'DatabaseOwned' });
    await routine.activities.confirmOwnership({ databases: ['sessions-00'] });
  });

  test('a database without a record cannot be claimed, and the message says what provisions it', async () => {
    const refused = await failure(claims(await startCaller(stage)));
    expect(refused).toMatchObject({ type: 'NotFound' });
    expect(refused.message).toContain('redis-fleet apply');
  });
});

describe('records over their life', () => {
  const wanted = [{ database: 'sessions-00', server: 'redis-01', leader: LEADER }];

  test('every step may be run again, and ends where it ended', async () => {
    const { activities } = await startCaller(stage, 'provisionServer');
    const steps = [
      () => activities.createRecords({ records: wanted, urgency: 'planned' }),
      () =>
        activities.establishRecords({
          records: [{ database: 'sessions-00', leader: LEADER, follower: FOLLOWER }],
        }),
      () =>
        activities.setFollower({
          database: 'sessions-00',
          epoch: 1,
          follower: endpointOn(2, 'b'),
          role: 'extra',
        }),
      () =>
        activities.restoreFollowers({
          database: 'sessions-00',
          epoch: 1,
          follower: FOLLOWER,
          extraFollowers: [],
        }),
      () => activities.releaseDatabases({ databases: ['sessions-00'] }),
    ];
    for (const step of steps) {
      await step();
      const once = await records.read('sessions-00');
      await step();
      expect(await records.read('sessions-00')).toEqual(once);
    }
    expect((await records.read('sessions-00'))?.record).toMatchObject({
      epoch: 1,
      leader: LEADER,
      follower: FOLLOWER,
    });
  });

  test('new records are removed by an undo, established ones never', async () => {
    const { activities } = await startCaller(stage, 'provisionServer');
    await activities.createRecords({ records: wanted, urgency: 'planned' });
    await activities.removeNewRecords({ databases: ['sessions-00'] });
    expect(await records.read('sessions-00')).toBeNull();

    await activities.createRecords({ records: wanted, urgency: 'planned' });
    await activities.establishRecords({
      records: [{ database: 'sessions-00', leader: LEADER, follower: FOLLOWER }],
    });
    await activities.removeNewRecords({ databases: ['sessions-00'] });
    expect((await records.read('sessions-00'))?.record.epoch).toBe(1);
  });

  test('provisioning what is already provisioned is refused, and leaves it', async () => {
    await provisioned();
    const { activities } = await startCaller(stage, 'provisionServer');
    const before = await records.read('sessions-00');
    const refused = await failure(activities.createRecords({ records: wanted, urgency: 'planned' }));
    expect(refused).toMatchObject({ type: 'RecordChanged' });
    expect(await records.read('sessions-00')).toEqual(before);
  });

  test('of two databases that want the same port at the same time, at most one gets it', async () => {
    const claims = await Promise.allSettled(
      ['restored-a', 'restored-b'].map(async (database) => {
        const { activities } = await startCaller(stage, 'restoreDatabase');
        const record = { database, server: 'redis-01', leader: endpointOn(2, 'b', 77) };
        try {
          await activities.createRecords({ records: [record], urgency: 'planned' });
        } catch (error) {
          // As the runbook's undo does.
          await activities.removeNewRecords({ databases: [database] });
          throw error;
        }
      }),
    );
    const refused = claims.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const reason of refused) expect(reason).toMatchObject({ type: 'PortInUse' });
  });

  test('twenty changes of one record by its owner all arrive', async () => {
    await provisioned();
    const { activities } = await startCaller(stage);
    await activities.claimDatabases({ databases: ['sessions-00'], urgency: 'planned' });
    const extras = Array.from({ length: 12 }, (_, at) => endpointOn(2, 'b', at));
    await Promise.all(
      extras.map((follower) =>
        activities.setFollower({ database: 'sessions-00', epoch: 1, follower, role: 'extra' }),
      ),
    );
    const stored = await records.read('sessions-00');
    expect(stored?.record.extraFollowers?.map(({ port }) => port).toSorted()).toEqual(
      extras.map(({ port }) => port),
    );
  });
});

describe('a record edited by hand into nonsense', () => {
  test('stops what needs it in words, hides no other record, and works again once repaired', async () => {
    await provisioned();
    const key = consulKeys(stage.fleet).database('sessions-00');
    const before = await readEntry(consul.consul, key);
    const good = JSON.parse(before?.text ?? '') as Record<string, unknown>;
    await compareAndSet(consul.consul, key, { ...good, epoch: 'seven' }, before?.modifyIndex ?? ABSENT);

    const caller = await startCaller(stage);
    const refused = await failure(claims(caller, DATABASES));
    expect(refused).toMatchObject({ type: 'InvalidRecord', nonRetryable: true });
    expect(refused.message).toContain(`Consul key ${key}: epoch must be a whole number`);
    expect(refused.message).toContain(`consul kv get ${key}`);
    const listed = await records.list();
    expect(listed.records.map(({ record }) => record.database)).toEqual(['sessions-01']);
    expect(listed.invalid.map(({ database }) => database)).toEqual(['sessions-00']);
    expect(await ownerOf('sessions-01')).toBeNull();

    const nonsense = await readEntry(consul.consul, key);
    await compareAndSet(consul.consul, key, good, nonsense?.modifyIndex ?? ABSENT);
    expect(await claims(caller, DATABASES)).toHaveLength(2);
  });

  test('a record that is removed under its owner is noticed', async () => {
    await provisioned();
    const caller = await startCaller(stage);
    await claims(caller);
    const key = consulKeys(stage.fleet).database('sessions-00');
    const entry = await readEntry(consul.consul, key);
    expect(await compareAndDelete(consul.consul, key, entry?.modifyIndex ?? ABSENT)).toBe(true);
    const noticed = await failure(caller.activities.confirmOwnership({ databases: ['sessions-00'] }));
    expect(noticed).toMatchObject({ type: 'OwnershipLost' });
    await caller.activities.releaseDatabases({ databases: ['sessions-00'] });
  });
});

describe('where a follower goes', () => {
  test('where the record has it, on the port it has there', async () => {
    await provisioned();
    const { activities } = await startCaller(stage);
    const placement = await activities.readPlacement({ database: 'sessions-01' });
    expect(placement).toMatchObject({
      leaderHost: { name: 'redis-01-a' },
      followerHost: { name: 'redis-01-b' },
      follower: endpointOn(1, 'b', 1),
      database: { name: 'sessions-01', port: 6301 },
    });
  });

  test('on another host, on the port of the fleet file', async () => {
    await provisioned();
    const { activities } = await startCaller(stage);
    const placement = await activities.readPlacement({ database: 'sessions-01', host: 'redis-02-b' });
    expect(placement.follower).toEqual(endpointOn(2, 'b', 1));
  });

  test.each([
    ['redis-01-a', 'InvalidRequest', 'leads it'],
    ['redis-02-a', 'InvalidRequest', 'zone az-a'],
    ['redis-09-a', 'NotFound', 'not in the applied fleet file'],
  ])('%s is refused: %s', async (host, type, words) => {
    await provisioned();
    const { activities } = await startCaller(stage);
    const refused = await failure(activities.readPlacement({ database: 'sessions-00', host }));
    expect(refused.type).toBe(type);
    expect(refused.message).toContain(words);
  });

  test('a server comes with its databases; an unknown one is refused with those that are known', async () => {
    const { activities } = await startCaller(stage);
    const server = await activities.readServer({ server: 'redis-02' });
    expect(server.databases.map(({ name }) => name)).toEqual(['sessions-02', 'sessions-03']);
    const refused = await failure(activities.readServer({ server: 'redis-03' }));
    expect(refused.message).toContain('It has redis-01, redis-02');
  });

  test('before any fleet file was applied, the message says how to apply one', async () => {
    const { activities } = await startCaller({ ...stage, fleet: 'never-applied' });
    const refused = await failure(activities.readServer({ server: 'redis-01' }));
    expect(refused).toMatchObject({ type: 'NotFound' });
    expect(refused.message).toContain('redis-fleet apply');
  });
});

describe('Consul lost in the middle', () => {
  test('errors are sentences to be tried again; a watch keeps what it saw, goes on and nothing is lost', async () => {
    await provisioned();
    const caller = await startCaller(stage);
    await claims(caller);
    const seen: RecordList[] = [];
    const problems: string[] = [];
    const stop = new AbortController();
    const watching = records.watch(
      (list) => void seen.push(list),
      stop.signal,
      (problem) => void problems.push(problem.message),
    );
    await waitFor(() => seen.length > 0, { deadlineMs: 30_000, what: 'the first look' });

    await consul.kill();
    const lost = await failure(caller.activities.confirmOwnership({ databases: ['sessions-00'] }));
    expect(lost).toMatchObject({ type: 'Unreachable', nonRetryable: false });
    expect(lost.message).toMatch(
      /^Consul at http:\/\/127\.0\.0\.1:\d+ \(CONSUL_HTTP_ADDR\) could not read .*: (connect ECONNREFUSED .*|socket hang up)\.$/,
    );
    await waitFor(() => problems.length > 0, { deadlineMs: 20_000, what: 'the watch to notice' });

    await consul.start();
    await caller.activities.confirmOwnership({ databases: ['sessions-00'] });
    await caller.activities.releaseDatabases({ databases: ['sessions-00'] });
    await waitFor(() => seen.at(-1)?.records.every(({ record }) => record.operation === undefined), {
      deadlineMs: 30_000,
      what: 'the watch to see the release',
    });
    stop.abort();
    await watching;
    expect(problems).toHaveLength(1);
  });
});

describe('the applied fleet', () => {
  test('two who apply at once: the second is told, and overwrites nothing', async () => {
    const store = fleetStore(consul.consul, stage.fleet);
    const before = await store.read();
    const index = before?.modifyIndex ?? ABSENT;
    const fleet = demoFleet(stage.fleet);
    await store.write({ ...fleet, leases: { ttl: 9000 } }, index);
    await expect(store.write({ ...fleet, leases: { ttl: 1000 } }, index)).rejects.toMatchObject({
      kind: 'RecordChanged',
    });
    expect((await store.read())?.fleet.leases.ttl).toBe(9000);
  });
});
