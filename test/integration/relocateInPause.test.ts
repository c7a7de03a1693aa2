/** A host that nothing can leave, since no fork fits there: a relocation offers to let writes wait for the copy. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Relocated } from '../../src/workflows/relocateDatabases.js';
import { expectAtRest, move, SECOND, untilStep } from './bringUpStage.js';
import { cli, type CliRun } from './cliRunner.js';
import { forkCounts, startCrampedFleet } from './moveStage.js';
import { expectWhole, writing } from './switchoverStage.js';

const DATABASE = 'sessions-00';
const HOST = 'redis-01-b';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startCrampedFleet('stranded');
});
afterAll(async () => {
  await fleet.stop();
});

async function plan(...more: readonly string[]): Promise<CliRun> {
  return cli(fleet.dev.env, ['relocate', '--host', HOST, '--dry-run', ...more]);
}

describe('a host on which no fork fits', () => {
  test('can be left only while writes wait: a plan says so, and how to allow it', async () => {
    const seconds = await waitFor(
      async () => {
        const { code, out } = await plan();
        return code === 1 ? /To allow it: --pause-writes (\d+)/.exec(out)?.[1] : undefined;
      },
      { deadlineMs: 60 * SECOND, what: 'the agents to report what was loaded' },
    );
    const allowed = await plan('--pause-writes', seconds);
    expect(allowed.code).toBe(0);
    expect(allowed.out).toContain(`writes to it wait while it is copied, for about ${seconds} s`);
    const tooShort = await plan('--pause-writes', '1');
    expect(tooShort.code).toBe(1);
  });

  test('offers it by its name; with an approval the database leaves, and nothing is lost', async () => {
    const writer = await writing(fleet, DATABASE, 100);
    const subject = { fleet: fleet.dev.fleet.name };
    const request = { host: HOST };
    const { workflowId } = await startRunbook(
      fleet.dev.temporal,
      'relocateDatabases',
      HOST,
      request,
      subject,
    );
    const { progress } = await untilStep(fleet, workflowId, {
      state: 'waiting for approval',
      step: 'copy while writes wait',
      withinMs: 60 * SECOND,
    });
    expect(progress.danger).toContain(`Writes to ${DATABASE} also wait while it is copied`);
    await move(fleet, workflowId, 'approve', 'it has to leave');
    const end = await runbookEnd(fleet.dev.temporal, { workflowId });
    if (end.how !== 'well') throw new Error(end.problem);
    const { moved, failed, after } = end.result as Relocated;
    expect(failed).toEqual([]);
    expect(moved).toMatchObject([{ database: DATABASE, leaderForks: 0, server: 'redis-02' }]);
    expect(moved[0]?.copiedInPause?.pausedMs).toBeGreaterThan(0);
    expect(after.kind).toBe('safe already');
    await expectWhole(fleet, DATABASE, writer);
    expect(await forkCounts(fleet, await fleet.record(DATABASE))).toEqual({
      'redis-02-a': 0,
      'redis-02-b': 0,
    });
    await expectAtRest(fleet, DATABASE);
  });
});
