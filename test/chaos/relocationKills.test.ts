/**
 * The worker and the agents are killed at any moment, thirty times, while relocations drain one server after the other
 * and the databases on them are written to: each relocation ends in a safe state, no acknowledged write is lost, no leader
 * forks, and no process, file, permit or claim is left over.
 */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { isNotFound, queryRunbook, runbookEnd, type RunbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { DevChild } from '../../src/dev/startDev.js';
import type { Server } from '../../src/fleet/fleet.js';
import { workflowId } from '../../src/fleet/names.js';
import { hostsOf } from '../../src/fleet/placement.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { SeededRandom } from '../../src/testbed/random.js';
import { pause, waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import type { Relocated } from '../../src/workflows/relocateDatabases.js';
import { expectMoved, expectNotMoved } from './afterMoves.js';
import { readBefore, readEndState, type Before, type Parts } from './endState.js';
import { MAXMEMORY } from './sound.js';

const KILLS = 30;
const LONGEST_LIFE_MS = 6_000;
const WRITES_A_SECOND = 100;
const BY = { by: 'ann', reason: 'it was a kill' };

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 3, databasesPerServer: 2, name: 'killed', maxmemory: MAXMEMORY });
  for (const [seed, database] of fleet.databases.entries()) {
    const where = await fleet.leader(database);
    await loadData({ ...fleet.application, where, megabytes: 3, seed });
  }
  await leadFromBothZones();
}, 120_000);

afterAll(async () => {
  await fleet.stop();
});

/** Each host then has leaders and followers, so that a drain copies from two hosts, and to two servers, at once. */
async function leadFromBothZones(): Promise<void> {
  const { temporal, fleet: file } = fleet.dev;
  const databases = fleet.databases.filter((_, index) => index % 2 === 1);
  const subject = { fleet: file.name, databases };
  const run = await startRunbook(temporal, 'switchover', 'half-of-them', { databases }, subject);
  expect(await runbookEnd(temporal, run)).toMatchObject({ how: 'well' });
}

interface Written {
  readonly record: DatabaseRecord;
  readonly before: Before;
  readonly writer: Writer;
}

test('thirty kills at random cost no relocation anything', { timeout: 600_000 }, async () => {
  const random = new SeededRandom(20_261_123);
  const written: Written[] = [];
  let kills = 0;
  let relocations = 0;
  let moves = 0;
  try {
    while (kills < KILLS) {
      const now = await Promise.all(fleet.databases.map(writeTo));
      written.push(...now);
      const drained = fullest(now);
      const ending = new AbortController();
      const killing = killAtRandom(random, KILLS - kills, ending.signal);
      const end = await drain(drained.hosts[1].name).finally(() => ending.abort());
      kills += await killing;
      relocations += 1;
      moves += await expectSafeState(drained.name, now, end);
    }
    await expectNothingLost(written);
    expect(moves).toBeGreaterThan(1);
    const counted = [`${kills} kills`, `${relocations} relocations`, `${moves} moves`];
    process.stdout.write(`${counted.join(', ')}\n`);
  } finally {
    await Promise.all(written.map(({ writer }) => writer.stop()));
  }
});

async function writeTo(database: string): Promise<Written> {
  const record = await fleet.record(database);
  const { leader, follower } = record;
  if (follower === null) throw new Error(`${database} has no follower.`);
  const before = await readBefore(fleet, database, { leader, follower });
  const locate = (): Promise<Endpoint> => fleet.leader(database);
  return { record, before, writer: Writer.start({ ...fleet.application, locate, rate: WRITES_A_SECOND }) };
}

/** @returns how many it killed, at most so many */
async function killAtRandom(random: SeededRandom, most: number, signal: AbortSignal): Promise<number> {
  const agents = hostsOf(fleet.dev.fleet).map(({ name }): DevChild => `agent:${name}`);
  const children: readonly DevChild[] = ['worker', 'worker', ...agents];
  let kills = 0;
  while (kills < most) {
    await pause(random.between(0, LONGEST_LIFE_MS));
    if (signal.aborted) break;
    const child = children[random.between(0, children.length - 1)];
    // One that starts just now is killed with the next.
    if (child === undefined || fleet.dev.pidOf(child) === null) continue;
    await fleet.dev.kill(child);
    kills += 1;
  }
  return kills;
}

/** By an engineer who says `retry` whenever the relocation, or one of its moves, waits for that. */
async function drain(host: string): Promise<RunbookEnd> {
  const { temporal, fleet: file } = fleet.dev;
  const request = { drain: host, approved: { 'move the databases': BY } };
  const subject = { fleet: file.name, hosts: [host] };
  const run = await startRunbook(temporal, 'relocateDatabases', `drain-${host}`, request, subject);
  const all = [run.workflowId, ...fleet.databases.map((database) => workflowId('moveDatabase', database))];
  const haveEnded = async (): Promise<boolean> => {
    const running = await Promise.all(all.map(isRunning));
    await Promise.all(all.filter((_, index) => running[index]).map(retryWhereStuck));
    return !running.includes(true);
  };
  await waitFor(haveEnded, { deadlineMs: 400_000, everyMs: 500, what: `the end of ${run.workflowId}` });
  return await runbookEnd(temporal, run);
}

async function isRunning(id: string): Promise<boolean> {
  try {
    return (await fleet.dev.temporal.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

async function retryWhereStuck(id: string): Promise<void> {
  const { temporal } = fleet.dev;
  // While no worker lives nobody answers.
  const state = await queryRunbook(temporal, { workflowId: id }).catch(() => null);
  if (state?.status !== 'stuck') return;
  const handle = temporal.workflow.getHandle(id);
  await handle.executeUpdate('retry', { args: [BY] }).catch(() => undefined);
}

/** @returns how many databases moved */
async function expectSafeState(
  drained: string,
  written: readonly Written[],
  end: RunbookEnd,
): Promise<number> {
  await Promise.all(written.map(({ writer }) => writer.stop()));
  const leaving = written.filter(({ record }) => record.server === drained);
  const left: string[] = [];
  for (const { record, before, writer } of written) {
    expect(writer.counts.acknowledged).toBeGreaterThan(0);
    const after = await fleet.record(record.database);
    const parts = partsOf(record, after);
    const outcome = { end: await readEndState(fleet, record.database, parts, before, writer) };
    if (after.server === record.server) expectNotMoved(outcome);
    else expectMoved(outcome);
    if (after.server !== record.server) left.push(record.database);
  }
  if (end.how === 'failed') {
    // An agent had been dead for so long that its host was no place to plan with.
    expect({ ...end, runbook: null }).toMatchObject({ kind: 'NoSafeWay' });
    expect(left).toEqual([]);
    return 0;
  }
  const { moved, failed, after } = end.result as Relocated;
  expect(moved.map(({ database }) => database).toSorted()).toEqual(left.toSorted());
  expect(left).toEqual(leaving.map(({ record }) => record.database));
  expect(moved.every(({ leaderForks }) => leaderForks === 0)).toBe(true);
  expect({ failed, after: after.kind }).toEqual({ failed: [], after: 'safe already' });
  return left.length;
}

/** Every host, by its part in what happened to the database. */
function partsOf(before: DatabaseRecord, after: DatabaseRecord): Parts {
  const pairOf = ({ leader, follower }: DatabaseRecord): readonly [Endpoint, Endpoint] => {
    if (follower === null) throw new Error(`${before.database} has no follower.`);
    return [leader, follower];
  };
  const [leader, follower] = pairOf(before);
  const moved = after.server !== before.server;
  const others = hostsOf(fleet.dev.fleet)
    .map(({ name, address }): Endpoint => ({ host: name, address, port: leader.port }))
    .filter(({ host }) => ![before, after].flatMap(pairOf).some((one) => one.host === host));
  return {
    leader,
    follower,
    ...(moved ? { newLeader: after.leader, newFollower: pairOf(after)[1] } : {}),
    ...Object.fromEntries(others.map((one) => [one.host, one])),
  };
}

/** A drain of it moves two databases at least. */
function fullest(written: readonly Written[]): Server {
  const { servers } = fleet.dev.fleet;
  const count = ({ name }: Server): number => written.filter(({ record }) => record.server === name).length;
  const [first] = servers.toSorted((a, b) => count(b) - count(a));
  if (first === undefined) throw new Error('The fleet has no servers.');
  return first;
}

/** Of what was ever acknowledged, whichever moves came later. */
async function expectNothingLost(written: readonly Written[]): Promise<void> {
  for (const { record, writer } of written) {
    const { leader, follower } = await fleet.record(record.database);
    for (const where of [leader, follower]) {
      const { lost } = await writer.verify(where ?? leader);
      expect({ database: record.database, where: where?.host, lost }).toMatchObject({ lost: 0 });
    }
  }
}
