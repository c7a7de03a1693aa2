/** Real agents, frozen, killed and without Consul, under writers: Redis serves, and nobody is demoted. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withRedis } from '../../src/connections/redis.js';
import type { HostLease } from '../../src/fleet/lease.js';
import { leaseStore } from '../../src/records/leases.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { pause, waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';

const HOST = 'redis-01-a';
const AGENT = `agent:${HOST}` as const;
const TTL_MS = 1_500;
const OUTAGE_MS = 60_000;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: 2,
    leaseTtl: `${TTL_MS}ms`,
    downAfter: '1s',
  });
});

afterAll(async () => {
  await fleet.stop();
});

async function lease(): Promise<HostLease> {
  const stored = await leaseStore(fleet.dev.consul, fleet.dev.fleet.name).read(HOST);
  if (stored === null) throw new Error(`no lease of ${HOST}`);
  return stored.lease;
}

const until = (condition: () => Promise<boolean> | boolean, what: string, deadlineMs = 30_000) =>
  waitFor(condition, { deadlineMs, what, everyMs: 20 });

/** Writes to every database while `story` goes on: nothing fails, nobody forks, and nobody else leads. */
async function undisturbed(story: () => Promise<void>): Promise<void> {
  const before = await state();
  const writers = fleet.databases.map((database) =>
    Writer.start({ ...fleet.application, locate: () => fleet.leader(database), rate: 200 }),
  );
  await until(() => writers.every(({ counts }) => counts.acknowledged > 100), 'writes');
  await story();
  for (const writer of writers) expect((await writer.stop()).problems).toEqual([]);
  expect(await state()).toEqual(before);
}

function state() {
  return Promise.all(
    fleet.databases.map(async (database) => {
      const { leader, epoch } = await fleet.record(database);
      const { position, runId, totalForks } = await fleet.facts(leader);
      const fence: unknown = await withRedis(leader, fleet.dev.credentials, { timeoutMs: 3_000 }, (redis) =>
        redis.config('GET', 'min-replicas-to-write'),
      );
      return { database, leader, epoch, id: position.id, runId, totalForks, fence };
    }),
  );
}

const alive = () => until(async () => (await lease()).processes['sessions-00']?.pulse === 'up', 'the lease');

async function renewed(): Promise<void> {
  const { term, renewal } = await lease();
  await until(async () => {
    const now = await lease();
    return now.term > term || now.renewal > renewal + 1;
  }, 'renewals');
  await alive();
}

describe('Redis serves, and nobody is demoted', () => {
  it('while its agent is frozen, for longer than its lease, and when it wakes', async () => {
    await alive();
    await undisturbed(async () => {
      fleet.dev.freeze(AGENT);
      await pause(TTL_MS);
      const { term, renewal } = await lease();
      await pause(TTL_MS * 2);
      expect(await lease()).toMatchObject({ term, renewal });
      fleet.dev.thaw(AGENT);
      await until(async () => (await lease()).renewal !== renewal, 'a renewal');
      await renewed();
    });
  });

  it('while its agent is dead, and when the next one takes a term of its own', async () => {
    await alive();
    await undisturbed(async () => {
      const before = await lease();
      await fleet.dev.kill(AGENT);
      await until(async () => (await lease()).term === before.term + 1, 'a new term');
      expect((await lease()).agent).not.toBe(before.agent);
      await renewed();
    });
  });

  it(`while Consul is away for ${OUTAGE_MS / 1_000} s, and when it is back`, async () => {
    await alive();
    await undisturbed(async () => {
      const before = await lease();
      await fleet.dev.hold('consul');
      await pause(OUTAGE_MS);
      await fleet.dev.release('consul');
      await until(async () => (await lease()).renewal !== before.renewal, 'a renewal');
      await renewed();
    });
  });

  it('while Consul answers nothing, as one does that is cut off', async () => {
    await alive();
    await undisturbed(async () => {
      fleet.dev.freeze('consul');
      await pause(TTL_MS * 4);
      fleet.dev.thaw('consul');
      await renewed();
    });
  });
});

describe('a process that is killed', () => {
  it('is in Consul as gone at once', async () => {
    await alive();
    const [database = ''] = fleet.databases;
    const leader = await fleet.leader(database);
    const pid = fleet.pidOf(database, leader.host);
    expect(pid).not.toBeNull();
    const watching = new AbortController();
    let told = 0;
    const watch = leaseStore(fleet.dev.consul, fleet.dev.fleet.name).watch(
      HOST,
      (stored) => {
        if (told === 0 && stored?.lease.processes[database]?.pulse === 'gone') told = performance.now();
      },
      watching.signal,
    );
    const killed = performance.now();
    process.kill(pid ?? 0, 'SIGKILL');
    await until(() => told > 0, 'a word in Consul');
    watching.abort();
    await watch;
    process.stdout.write(`milliseconds from kill -9 to the lease: ${(told - killed).toFixed(0)}\n`);
    expect(told - killed).toBeLessThan(2_000);
  });
});
