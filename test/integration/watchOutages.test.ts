import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownCommand } from '../../src/dev/binaries.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { startGuarded } from '../../src/testbed/guardedProcess.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { pidOf, SECOND } from './bringUpStage.js';
import {
  promotion,
  promotionStarted,
  signalLeader,
  tell,
  untilPromoted,
  untilSeen,
  viewOf,
  whileNothingIsDone,
  why,
} from './watchStage.js';

/** Consul, Temporal and workers are the nerves: what a watch does, and does not do, while they are away. */
describe('a watch without', () => {
  let fleet: TestFleet;

  beforeAll(async () => {
    fleet = await startTestFleet({
      servers: 1,
      databasesPerServer: 4,
      maxmemory: '16MiB',
      policy: 'automatic',
      leaseTtl: '2s',
    });
    for (const database of fleet.databases) {
      await untilSeen(fleet, database, 'well', ({ sightings }) => sightings.fromFollowerHost === 'up');
    }
  }, 120_000);
  afterAll(() => fleet.stop());

  it('its worker goes on in another one within seconds', async () => {
    const before = await fleet.record('sessions-00');
    const [program, ...parameters] = [...ownCommand(), 'worker'];
    const env = Object.entries({ ...process.env, ...fleet.dev.env }).map(
      ([name, value]) => `${name}=${value ?? ''}`,
    );
    const other = await startGuarded('/usr/bin/env', ['-i', ...env, program, ...parameters]);
    await waitFor(() => other.lastWords().includes('polls task queue'), {
      deadlineMs: 30 * SECOND,
      what: 'a second worker',
    });
    await fleet.dev.hold('worker');
    const killedAt = await signalLeader(fleet, 'sessions-00', 'SIGKILL');
    await untilPromoted(fleet, before);
    const { at } = await promotionStarted(fleet, 'sessions-00');
    tell(`worker and leader killed → promoteFollower started: ${String(at - killedAt)} ms`);
    expect(at - killedAt).toBeLessThan(10 * SECOND);
    await fleet.dev.release('worker');
    await other.end();
    // Before the next story the watch is there again.
    const worker = `process ${String(fleet.dev.pidOf('worker'))}`;
    await waitFor(async () => (await viewOf(fleet))?.worker.endsWith(worker), {
      deadlineMs: 30 * SECOND,
      what: 'the first worker to watch again',
    });
  });

  it('Temporal calls for the promotion as soon as Temporal is back', async () => {
    const before = await fleet.record('sessions-01');
    await untilSeen(fleet, 'sessions-01', 'well');
    await fleet.dev.hold('temporal');
    await signalLeader(fleet, 'sessions-01', 'SIGKILL');
    await untilSeen(
      fleet,
      'sessions-01',
      'failed',
      ({ attempt }) => attempt?.state === 'starting' && attempt.problem !== null,
    );
    expect((await why(fleet, 'sessions-01')).out).toContain('is started as soon as Temporal takes it');
    // Longer than the timeout after which Temporal gives the watch to somebody else.
    await waitUntil(performance.now() + 8 * SECOND);
    const releasedAt = Date.now();
    await fleet.dev.release('temporal');
    const answersAt = Date.now();
    await untilPromoted(fleet, before);
    const { at } = await promotionStarted(fleet, 'sessions-01');
    tell(
      `Temporal back (answers after ${String(answersAt - releasedAt)} ms) → promoteFollower started: ` +
        `${String(at - releasedAt)} ms, record changed: ${String(Date.now() - releasedAt)} ms`,
    );
    // A connection that hides outages, as a worker has it, takes up to ten.
    expect(at - answersAt).toBeLessThan(8 * SECOND);
  });

  it('Consul promotes and demotes nobody, and why says so', async () => {
    const before = await fleet.record('sessions-02');
    await untilSeen(fleet, 'sessions-02', 'well');
    const pid = pidOf(fleet, 'sessions-02', before.leader);
    fleet.dev.freeze('consul');
    process.kill(pid, 'SIGKILL');
    await waitUntil(performance.now() + 6 * SECOND);
    const { code, out } = await why(fleet, 'sessions-02');
    expect(code).toBe(1);
    expect(out).toContain('While Consul is away nobody is promoted and nobody is demoted');
    expect(await promotion(fleet, 'sessions-02')).toBeNull();
    const thawedAt = Date.now();
    fleet.dev.thaw('consul');
    await untilPromoted(fleet, before);
    tell(`Consul back → record changed: ${String(Date.now() - thawedAt)} ms`);
    // The others served all the time, and still lead.
    await untilSeen(fleet, 'sessions-03', 'well');
    await whileNothingIsDone(fleet, await fleet.record('sessions-03'), 2 * SECOND);
  }, 120_000);

  it('a complaint: the worker has nothing unexpected in its log', () => {
    const file = readdirSync(fleet.dev.data.logs).find((name) => name.startsWith('worker'));
    const log = readFileSync(path.join(fleet.dev.data.logs, file ?? ''), 'utf8');
    expect(log).not.toMatch(/unhandled|TypeError|Workflow Task failed/i);
  });

  async function waitUntil(time: number): Promise<void> {
    await waitFor(() => performance.now() > time, { deadlineMs: 60 * SECOND, what: 'time to pass' });
  }
});
