/** Promotions that ask first, and old leaders that their agents cannot fence. */

import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { leaseStore } from '../../src/records/leases.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { bringUp, broughtUp, failed, move, SECOND, state, untilStep } from './bringUpStage.js';
import { detected, expectPromoted, outcomeOf, promote, promoted, signal } from './promotionStage.js';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 3, databasesPerServer: 2, name: 'asking', leaseTtl: '1500ms' });
});
afterAll(async () => {
  await fleet.stop();
});

const approval = { by: 'ann', reason: 'a test' };

async function kill(...databases: readonly string[]): Promise<readonly DatabaseRecord[]> {
  const records = await Promise.all(databases.map((database) => fleet.record(database)));
  for (const { database, leader } of records) signal(fleet, database, leader, 'SIGKILL');
  return records;
}

describe('the policy to ask first', () => {
  test('changes nothing and claims nothing until somebody approves', async () => {
    const database = 'sessions-00';
    const [before] = await kill(database);
    if (before === undefined) throw new Error('no record');
    const id = await promote(fleet, { database, ask: true, ...detected(database) });
    const step = await untilStep(fleet, id, { state: 'waiting for approval' });
    expect(step.name).toBe('approve the promotion');
    expect(step.progress.danger).toContain('is silent');
    expect(await fleet.record(database)).toEqual(before);
    await move(fleet, id, 'approve', 'it is really dead');
    const end = await promoted(fleet, id);
    expectPromoted(before, await fleet.record(database));
    expect(end.runbook.decisions).toMatchObject([{ message: 'approve', by: 'ann' }]);
  });

  test('ends without a trace when somebody aborts', async () => {
    const database = 'sessions-01';
    const before = await fleet.record(database);
    const id = await promote(fleet, { database, ask: true, ...detected(database) });
    await untilStep(fleet, id, { state: 'waiting for approval' });
    await move(fleet, id, 'abort', 'it is the network');
    await failed(fleet, id);
    expect(await fleet.record(database)).toEqual(before);
  });
});

describe('a database that was promoted a moment ago', () => {
  const database = 'sessions-00';

  test('waits for a word before it is promoted again; the others of the request do not', async () => {
    const old = (await fleet.record(database)).promotion?.from;
    if (old === undefined) throw new Error('it was not promoted');
    const bringingUp = await bringUp(fleet, { database, host: old.host });
    await untilStep(fleet, bringingUp, { state: 'waiting for approval' });
    await move(fleet, bringingUp, 'approve', 'a test');
    await broughtUp(fleet, bringingUp);

    const other = 'sessions-01';
    const [before, fresh] = await kill(database, other);
    if (before === undefined || fresh === undefined) throw new Error('no record');
    const id = await promote(fleet, { databases: [database, other], ...detected(database, other) });
    const step = await untilStep(fleet, id, { state: 'waiting for approval' });
    expect(step.name).toBe('approve another promotion');
    expect(step.progress.danger).toContain('was promoted');
    expect((await fleet.record(other)).epoch).toBe(fresh.epoch + 1);
    expect((await fleet.record(database)).epoch).toBe(before.epoch);
    await move(fleet, id, 'approve', 'both hosts were rebooted');
    const end = await promoted(fleet, id);
    outcomeOf(end, database, 'promoted');
    outcomeOf(end, other, 'promoted');
    expectPromoted(before, await fleet.record(database));
  });
});

describe('an agent that died', () => {
  const [database, other] = ['sessions-02', 'sessions-03'];
  const agentsOf = (record: DatabaseRecord) => `agent:${record.leader.host}` as const;

  test('or stands still with its leader: the lease is waited out and broken, and it fences when it wakes', async () => {
    const before = await fleet.record(database);
    const { leader } = before;
    const agent = fleet.dev.pidOf(agentsOf(before));
    if (agent === null) throw new Error('no agent');
    process.kill(agent, 'SIGSTOP');
    try {
      const pid = signal(fleet, database, leader, 'SIGSTOP');
      const id = await promote(fleet, { database, ...detected(database) });
      const end = await promoted(fleet, id);
      expectPromoted(before, await fleet.record(database));
      // A host that stands still as a whole: its lease ran out, and its agent fences when it wakes.
      expect(end.runbook.notes.join(' ')).toContain('the lease of its host ran out');
      const lease = await leaseStore(fleet.dev.consul, fleet.dev.fleet.name).read(leader.host);
      expect(lease?.lease.broken?.by).toBe(id);
      process.kill(pid, 'SIGCONT');
    } finally {
      process.kill(agent, 'SIGCONT');
    }
    await waitFor(async () => (await fleet.facts(leader)).role === 'follower', {
      deadlineMs: 60 * SECOND,
      what: 'the old leader to be fenced by its agent',
    });
  });

  test('before its leader is killed: the network says that there is nobody to fence', async () => {
    const before = await fleet.record(other);
    const agent = fleet.dev.pidOf(agentsOf(before));
    if (agent === null) throw new Error('no agent');
    process.kill(agent, 'SIGSTOP');
    try {
      signal(fleet, other, before.leader, 'SIGKILL');
      const end = await promoted(fleet, await promote(fleet, { database: other, ...detected(other) }));
      expectPromoted(before, await fleet.record(other));
      expect(end.runbook.notes.join(' ')).toMatch(/is gone|the lease of its host ran out/);
    } finally {
      process.kill(agent, 'SIGCONT');
    }
  });
});

test('leaders on three servers at once: the breaker asks; approved beforehand, it does not', async () => {
  // Two servers have had promotions within the last minute, or have them now.
  const databases = ['sessions-04', 'sessions-05'];
  const [first, second] = databases;
  if (first === undefined || second === undefined) throw new Error('no databases');
  const [before] = await kill(first);
  if (before === undefined) throw new Error('no record');
  const id = await promote(fleet, { database: first, ...detected(first) });
  const step = await untilStep(fleet, id, { state: 'waiting for approval' });
  expect(step.name).toBe('approve despite the breaker');
  expect(step.progress.danger).toContain('Leaders on 3 of 3 servers');
  expect((await fleet.record(first)).epoch).toBe(before.epoch);
  await move(fleet, id, 'skip', 'somebody looks at the network first');
  const end = await promoted(fleet, id);
  expect(outcomeOf(end, first, 'refused').why).toContain('the breaker');
  expect((await fleet.record(first)).operation).toBeUndefined();

  const [other] = await kill(second);
  if (other === undefined) throw new Error('no record');
  const approved = { 'approve despite the breaker': approval };
  const both = await promote(fleet, { databases, approved, ...detected(...databases) }, 'both');
  expect((await promoted(fleet, both)).outcomes.map(({ outcome }) => outcome)).toEqual([
    'promoted',
    'promoted',
  ]);
  expect((await state(fleet, both)).decisions).toMatchObject([
    { by: 'ann', step: 'approve despite the breaker' },
  ]);
  expectPromoted(before, await fleet.record(first));
  expectPromoted(other, await fleet.record(second));
});
