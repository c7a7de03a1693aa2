/** A sweep of a host's followers: what it takes, what it leaves alone, and what it costs. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { actionsOf } from '../../src/testbed/actions.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { forksBetween, leaderForks } from '../../src/testbed/forks.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import type { Sweep } from '../../src/workflows/backupSweep.js';
import { killProcess } from './bringUpStage.js';

const SWEEPS = 20;
const [KILLED, MOVED, QUIET] = ['sessions-00', 'sessions-01', 'sessions-02'] as const;
const HOST = 'redis-01-b';

let fleet: TestFleet;
beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 3 });
}, 60_000);
afterAll(async () => {
  await fleet.stop();
});

async function start(host: string) {
  const subject = { fleet: fleet.dev.fleet.name, hosts: [host] };
  return startRunbook(fleet.dev.temporal, 'backupSweep', host, { host }, subject);
}

async function ended(run: Awaited<ReturnType<typeof start>>): Promise<Sweep> {
  const end = await runbookEnd(fleet.dev.temporal, run);
  if (end.how !== 'well') throw new Error(`The sweep failed: ${end.problem}`);
  return end.result as Sweep;
}

function outcome({ databases }: Sweep, name: string) {
  const found = databases.find(({ database }) => database === name);
  if (found === undefined) throw new Error(`The sweep does not tell of ${name}.`);
  return found;
}

describe('a sweep', () => {
  test('twenty times under writes: all verified, oldest first, no leader forks, and few actions', async () => {
    const writers = fleet.databases.map((database) =>
      Writer.start({ ...fleet.application, locate: () => fleet.leader(database), rate: 200 }),
    );
    try {
      await waitFor(() => writers.every(({ counts }) => counts.acknowledged > 10), {
        deadlineMs: 30_000,
        what: 'acknowledged writes',
      });
      const before = await leaderForks(fleet);
      let last: readonly string[] = fleet.databases;
      for (let n = 0; n < SWEEPS; n++) {
        const run = await start(HOST);
        const { databases, verified } = await ended(run);
        expect(verified).toBe(3);
        const order = databases
          .flatMap((one) => (one.how === 'verified' ? [one] : []))
          .toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
        expect(order.map(({ database }) => database)).toEqual(last);
        last = order.map(({ database }) => database);
        const history = await fleet.dev.temporal.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
        const actions = actionsOf(history, { start: 3, heartbeatEveryMs: 10_000 });
        expect(actions.activities).toBe(3);
        expect(actions.total).toBeLessThanOrEqual(3 + 3 + 4);
      }
      expect(forksBetween(before, await leaderForks(fleet))).toEqual({ forks: 0, notComparable: [] });
    } finally {
      await Promise.all(writers.map((writer) => writer.stop()));
    }
  });

  test('takes one that changed hosts meanwhile where it follows now, and leaves its new leader alone', async () => {
    const agent = `agent:${HOST}` as const;
    await fleet.dev.hold(agent);
    const run = await start(HOST);
    const switched = await startRunbook(
      fleet.dev.temporal,
      'switchover',
      MOVED,
      { database: MOVED },
      { fleet: fleet.dev.fleet.name },
    );
    expect((await runbookEnd(fleet.dev.temporal, switched)).how).toBe('well');
    const before = await leaderForks(fleet);
    await fleet.dev.release(agent);
    const swept = await ended(run);
    expect(outcome(swept, MOVED)).toMatchObject({ how: 'verified', host: 'redis-01-a' });
    expect(swept.verified).toBe(3);
    expect(forksBetween(before, await leaderForks(fleet))).toEqual({ forks: 0, notComparable: [] });
  });

  test('reports a follower that is gone, with the command to run, and takes the others', async () => {
    await killProcess(fleet, KILLED, await fleet.follower(KILLED));
    const before = await leaderForks(fleet);
    const swept = await ended(await start(HOST));
    const gone = outcome(swept, KILLED);
    expect(gone.how).toBe('skipped');
    expect(gone.how === 'skipped' ? gone.why : '').toMatch(
      /does not run, and its leader on redis-01-a is not made to fork: run redis-fleet bring-up sessions-00/,
    );
    expect(outcome(swept, QUIET).how).toBe('verified');
    expect(forksBetween(before, await leaderForks(fleet))).toEqual({ forks: 0, notComparable: [] });
  });

  test('of a host that there is not is refused at once', async () => {
    const end = await runbookEnd(fleet.dev.temporal, await start('redis-09-b'));
    expect(end).toMatchObject({ how: 'failed', kind: 'NotFound' });
  });
});
