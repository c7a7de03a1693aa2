/**
 * The worker and the agents are killed at any moment, thirty times, while databases under load move to and fro: every
 * move ends well, no acknowledged write is lost, no leader forks, and no process or file is left over.
 */

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { queryRunbook, runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { DevChild } from '../../src/dev/startDev.js';
import { hostsOf } from '../../src/fleet/placement.js';
import { processFiles } from '../../src/host/layout.js';
import { permitStore } from '../../src/records/permits.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { leaderForks, sumOfForks } from '../../src/testbed/forks.js';
import { loadData } from '../../src/testbed/load.js';
import { SeededRandom } from '../../src/testbed/random.js';
import { pause, waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';

const KILLS = 30;
const LONGEST_LIFE_MS = 4_000;
const WRITES_A_SECOND = 100;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 2, databasesPerServer: 2, name: 'killed' });
  for (const [seed, database] of fleet.databases.entries()) {
    const where = await fleet.leader(database);
    await loadData({ ...fleet.application, where, megabytes: 3, seed });
  }
}, 120_000);

afterAll(async () => {
  await fleet.stop();
});

/** An engineer who says `retry` whenever a move waits for that. @returns when it has ended well */
async function moved(database: string): Promise<void> {
  const { server } = await fleet.record(database);
  const to = fleet.dev.fleet.servers.find(({ name }) => name !== server)?.name ?? '';
  const request = { database, to: { server: to } };
  const subject = { fleet: fleet.dev.fleet.name, databases: [database] };
  const { temporal } = fleet.dev;
  const run = await startRunbook(temporal, 'moveDatabase', database, request, subject);
  const handle = temporal.workflow.getHandle(run.workflowId, run.runId);
  const ended = async (): Promise<boolean> => {
    if ((await handle.describe()).status.name !== 'RUNNING') return true;
    // While no worker lives nobody answers.
    const state = await queryRunbook(temporal, run).catch(() => null);
    if (state?.status === 'stuck') {
      await handle
        .executeUpdate('retry', { args: [{ by: 'ann', reason: 'it was a kill' }] })
        .catch(() => undefined);
    }
    return false;
  };
  await waitFor(ended, { deadlineMs: 400_000, everyMs: 500, what: `the end of ${run.workflowId}` });
  const end = await runbookEnd(temporal, run);
  if (end.how !== 'well') throw new Error(`${run.workflowId} failed: ${end.problem}`);
}

test('thirty kills at random cost no move anything', { timeout: 600_000 }, async () => {
  const writers = fleet.databases.map((database) =>
    Writer.start({ ...fleet.application, locate: () => fleet.leader(database), rate: WRITES_A_SECOND }),
  );
  try {
    const random = new SeededRandom(20_261_123);
    const children: readonly DevChild[] = [
      'worker',
      'worker',
      ...hostsOf(fleet.dev.fleet).map(({ name }): DevChild => `agent:${name}`),
    ];
    let kills = 0;
    let moves = 0;
    const killing = async (): Promise<void> => {
      while (kills < KILLS) {
        await pause(random.between(0, LONGEST_LIFE_MS));
        const child = children[random.between(0, children.length - 1)];
        // One that starts just now is killed with the next.
        if (child === undefined || fleet.dev.pidOf(child) === null) continue;
        await fleet.dev.kill(child);
        kills += 1;
      }
    };
    const moving = async (database: string): Promise<void> => {
      do {
        await moved(database);
        moves += 1;
      } while (kills < KILLS);
    };
    await Promise.all([killing(), ...fleet.databases.map(moving)]);
    for (const [index, database] of fleet.databases.entries()) await expectWhole(database, writers[index]);
    expect(sumOfForks(await leaderForks(fleet))).toBe(0);
    expect(await permitStore(fleet.dev.consul, fleet.dev.fleet.name).list()).toEqual([]);
    process.stdout.write(`${String(kills)} kills in ${String(moves)} moves\n`);
  } finally {
    await Promise.all(writers.map((writer) => writer.stop()));
  }
});

async function expectWhole(database: string, writer: Writer | undefined): Promise<void> {
  if (writer === undefined) throw new Error(`Nobody wrote to ${database}.`);
  await writer.stop();
  const record = await fleet.record(database);
  const { leader, follower } = record;
  if (follower === null) throw new Error(`${database} has no follower.`);
  expect(record.operation).toBeUndefined();
  expect(record.extraFollowers).toBeUndefined();
  for (const { name } of hostsOf(fleet.dev.fleet)) {
    const { directory } = processFiles(fleet.dev.data.host(name), database);
    const named = [leader.host, follower.host].includes(name);
    expect({ name, files: existsSync(directory), runs: fleet.pidOf(database, name) !== null }).toEqual({
      name,
      files: named,
      runs: named,
    });
  }
  await waitFor(
    async () => {
      const [leading, following] = [await fleet.facts(leader), await fleet.facts(follower)];
      return leading.role === 'leader' && following.position.offset === leading.position.offset;
    },
    { deadlineMs: 60_000, what: `the follower of ${database} to have all` },
  );
  for (const where of [leader, follower]) {
    const { acknowledged, lost } = await writer.verify(where);
    expect(acknowledged).toBeGreaterThan(0);
    expect({ database, where: where.host, lost }).toEqual({ database, where: where.host, lost: 0 });
  }
}
