/** Databases leave a host, several at a time, by one runbook that plans again after each move. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { RelocationPlan } from '../../src/fleet/relocation/plan.js';
import type { RelocateDatabasesRequest } from '../../src/fleet/requests.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import type { Relocated } from '../../src/workflows/relocateDatabases.js';
import { move, state, untilStep } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import { isGoneFrom } from './moveStage.js';
import { expectWhole, writing } from './switchoverStage.js';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({
    servers: 2,
    databasesPerServer: 2,
    name: 'relocations',
    maxmemory: '128MiB',
  });
  for (const database of ['sessions-00', 'sessions-01']) {
    await loadData({ ...fleet.application, where: await fleet.leader(database), megabytes: 10, seed: 1 });
  }
});
afterAll(async () => {
  await fleet.stop();
});

async function start(name: string, request: RelocateDatabasesRequest): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name };
  const started = await startRunbook(fleet.dev.temporal, 'relocateDatabases', name, request, subject);
  expect(started.wasRunning).toBe(false);
  return started.workflowId;
}

async function relocated(workflowId: string): Promise<Relocated> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  return end.result as Relocated;
}

async function hostsOf(database: string): Promise<readonly string[]> {
  const { leader, follower } = await fleet.record(database);
  return [leader.host, follower?.host ?? ''];
}

describe('a host that is safe', () => {
  test('is left alone', async () => {
    const { plan, moved } = await relocated(await start('safe', { host: 'redis-01-a', horizon: 60 }));
    expect(plan.kind).toBe('safe already');
    expect(moved).toEqual([]);
  });
});

describe('draining a host', () => {
  test('is planned on the command line without changing anything', async () => {
    const { out, code } = await cli(fleet.dev.env, ['plan', '--drain', 'redis-01-b', '--json']);
    expect(code).toBe(0);
    const plan = JSON.parse(out) as RelocationPlan;
    const names = plan.kind === 'plan' ? plan.moves.map(({ database }) => database) : [];
    expect(names.toSorted()).toEqual(['sessions-00', 'sessions-01']);
    expect(await hostsOf('sessions-00')).toEqual(['redis-01-a', 'redis-01-b']);
  });

  test('asks, and then moves everything off it while it is written to; no leader forks, nothing is lost', async () => {
    const writer = await writing(fleet, 'sessions-00', 200);
    const id = await start('drain', { drain: 'redis-01-b' });
    await untilStep(fleet, id, { state: 'waiting for approval', step: 'move the databases' });
    expect(await hostsOf('sessions-00')).toEqual(['redis-01-a', 'redis-01-b']);
    await move(fleet, id, 'approve', 'new memory for redis-01-b');
    const { moved, failed, after } = await relocated(id);
    expect(failed).toEqual([]);
    expect(moved.map(({ database }) => database).toSorted()).toEqual(['sessions-00', 'sessions-01']);
    expect(moved.map(({ leaderForks }) => leaderForks)).toEqual([0, 0]);
    expect(after.kind).toBe('safe already');
    await expectWhole(fleet, 'sessions-00', writer);
    for (const database of ['sessions-00', 'sessions-01']) {
      expect((await hostsOf(database)).toSorted()).toEqual(['redis-02-a', 'redis-02-b']);
      for (const host of ['redis-01-a', 'redis-01-b'])
        expect(isGoneFrom(fleet, database, { host })).toBe(true);
    }
    const { present = [], notes } = await state(fleet, id);
    expect(present[0]).toBe('Nothing moves.');
    expect(notes.join('\n')).toContain('sessions-00 moved from redis-01-a to redis-02-');
  });

  test('says so where there is nothing to do, and where nobody knows the host', async () => {
    const none = await cli(fleet.dev.env, ['relocate', '--drain', 'redis-01-b', '--dry-run']);
    expect(none.out).toContain('Nothing has to move.');
    const unknown = await cli(fleet.dev.env, ['relocate', '--host', 'redis-99-a', '--dry-run']);
    expect(unknown.code).toBe(1);
    expect(unknown.out).toContain('redis-99-a');
  });
});
