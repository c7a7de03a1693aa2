import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consulFromEnvironment } from '../../src/connections/consul.js';
import { connectTemporalClient } from '../../src/connections/temporal.js';
import type { DevChild } from '../../src/dev/startDev.js';
import { workflowId } from '../../src/fleet/names.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';

/** How a test stages an outage: a part of the fleet is away for as long as the test wants, and comes back as it was. */
describe('a part of a test fleet', () => {
  let fleet: TestFleet;

  beforeAll(async () => {
    fleet = await startTestFleet({ servers: 1, databasesPerServer: 1 });
  }, 120_000);
  afterAll(() => fleet.stop());

  it('stays away while it is held: Consul, which keeps the records', async () => {
    const before = await fleet.record('sessions-00');
    await fleet.dev.hold('consul');
    await staysDown('consul');
    await expect(fleet.record('sessions-00')).rejects.toMatchObject({ kind: 'Unreachable' });

    await fleet.dev.release('consul');

    expect(await fleet.record('sessions-00')).toEqual(before);
  });

  it('stays away while it is held: Temporal, which keeps its histories', async () => {
    await fleet.dev.hold('temporal');
    await staysDown('temporal');

    await fleet.dev.release('temporal');

    const client = await connectTemporalClient(fleet.dev.env, { patience: 'none' });
    const { status } = await client.workflow.getHandle(workflowId('provisionServer', 'redis-01')).describe();
    expect(status.name).toBe('COMPLETED');
    await client.connection.close();
  });

  it('works again once it is released: an agent and the worker', async () => {
    for (const name of ['agent:redis-01-b', 'worker'] as const) {
      await fleet.dev.hold(name);
      await fleet.dev.hold(name);
      await staysDown(name);
      await fleet.dev.release(name);
      expect(fleet.dev.pidOf(name)).not.toBeNull();
    }
    expect(await fleet.dev.run('bring-up', 'sessions-00')).toBe(0);
  });

  it('keeps its process and answers nothing while it is frozen', async () => {
    const pid = fleet.dev.pidOf('consul');
    const impatient = consulFromEnvironment(fleet.dev.env, { timeoutMs: 300 });
    const asked = () => impatient.call('say who leads it', (client) => client.status.leader());
    fleet.dev.freeze('consul');
    await expect(asked()).rejects.toMatchObject({ kind: 'Unreachable' });
    expect(stateOf(pid)).toBe('T');

    fleet.dev.thaw('consul');

    await waitFor(async () => (await asked()) !== '', { deadlineMs: 30_000, what: 'Consul' });
    expect(fleet.dev.pidOf('consul')).toBe(pid);
    impatient.close();
  });

  /** Longer than the pause after which a part that crashed is started again. */
  async function staysDown(name: DevChild): Promise<void> {
    const until = performance.now() + 1200;
    await waitFor(
      () => {
        expect(fleet.dev.pidOf(name)).toBeNull();
        return performance.now() > until;
      },
      { deadlineMs: 30_000, what: 'the end of the restart pause' },
    );
  }
});

function stateOf(pid: number | null): string | undefined {
  return /\) (\w)/.exec(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'))?.[1];
}
