/**
 * What `bringUpFollower` adds to Redis's own copying and loading: the runbook, and the same by hand over open
 * connections, one after the other in one run, from a backup and by a chain, while a writer writes all the time.
 */

import { copyFile, rm } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Redis } from 'ioredis';
import { startRunbook } from '../connections/startRunbook.js';
import { openRedis } from '../connections/redis.js';
import { findBinary } from '../dev/binaries.js';
import { FleetError } from '../fleet/errors.js';
import { GATE_A_OPEN_DELAY, GATE_A_SHUT } from '../fleet/gates.js';
import type { Endpoint } from '../fleet/record.js';
import type { BringUpFollowerRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { processFiles } from '../host/layout.js';
import { startTestFleet, type TestFleet } from '../testbed/fleet.js';
import { forksBetween, leaderForks } from '../testbed/forks.js';
import { loadData } from '../testbed/load.js';
import { atMost, spreadOf, thisMachine, type Bar, type Report } from '../testbed/report.js';
import { waitFor } from '../testbed/waiting.js';
import { Writer } from '../testbed/writer.js';
import type { BroughtUpFollower } from '../workflows/bringUpFollower.js';
import { runBenchmark } from './runBenchmark.js';

const MEGABYTES = 200;
const WRITES_PER_SECOND = 500;
const OVERHEAD_BOUND_SECONDS = 2;

type Way = 'backup' | 'chain';

interface Measured {
  readonly way: Way;
  readonly byHand: number;
  readonly runbook: number;
}

await runBenchmark('bring-up', { repetitions: 3 }, measure);

async function measure({
  repetitions,
  tell,
  signal,
}: {
  readonly repetitions: number;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}): Promise<Report> {
  tell('starting 2 servers with 2 databases each');
  const fleet = await startTestFleet({ servers: 2, databasesPerServer: 2, maxmemory: '512MiB', signal });
  try {
    const writers = await Promise.all(
      fleet.databases.map((database, seed) => fill(fleet, database, seed, tell)),
    );
    const before = await leaderForks(fleet);
    const measured: Measured[] = [];
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const database of fleet.databases) {
        signal.throwIfAborted();
        for (const way of ['backup', 'chain'] as const) {
          const one = await (way === 'backup' ? fromBackup(fleet, database) : byChain(fleet, database));
          measured.push(one);
          tell(
            `${repetition}/${repetitions} ${database} ${way}: by hand ${seconds(one.byHand)}, runbook ${seconds(one.runbook)}`,
          );
        }
      }
    }
    const { forks, notComparable } = forksBetween(before, await leaderForks(fleet));
    const writes = await verifyAll(fleet, writers);
    const bars = [
      ...barsOf('backup', measured),
      ...barsOf('chain', measured),
      atMost('forks on leaders', forks + notComparable.length, 0, 'forks'),
      atMost('acknowledged writes lost', writes.lost, 0, 'writes'),
    ];
    return { ok: bars.every(({ holds }) => holds), machine: thisMachine(), writes, leaderForks: forks, bars };
  } finally {
    await fleet.stop();
  }
}

async function fill(
  fleet: TestFleet,
  database: string,
  seed: number,
  tell: (line: string) => void,
): Promise<Writer> {
  const where = await fleet.leader(database);
  const loaded = await loadData({ where, megabytes: MEGABYTES, seed, ...fleet.application });
  tell(`${database}: ${loaded.keys} keys of ${MEGABYTES} MB loaded in ${seconds(loaded.seconds)}`);
  return Writer.start({
    locate: () => fleet.leader(database),
    rate: WRITES_PER_SECOND,
    ...fleet.application,
  });
}

async function verifyAll(
  fleet: TestFleet,
  writers: readonly Writer[],
): Promise<{ acknowledged: number; lost: number }> {
  const checked = await Promise.all(
    fleet.databases.map(async (database, index) => {
      const writer = writers[index];
      if (writer === undefined) throw new FleetError('NotFound', `${database} has no writer.`);
      await writer.stop();
      return writer.verify(await fleet.leader(database));
    }),
  );
  return {
    acknowledged: checked.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    lost: checked.reduce((sum, { lost }) => sum + lost, 0),
  };
}

async function fromBackup(fleet: TestFleet, database: string): Promise<Measured> {
  const follower = await fleet.follower(database);
  const file = path.join(fleet.dev.data.root, `${database}.rdb`);
  await copyFile(await fleet.save(database, follower), file);
  const own = processFiles(fleet.dev.data.host(follower.host), database).data;

  await crash(fleet, database, follower);
  const byHand = await timed(async () => {
    await copyFile(file, own);
    const redis = await startByHand(fleet, database, follower);
    await followByHand(redis, await fleet.leader(database));
    redis.disconnect();
  });

  await crash(fleet, database, follower);
  await rm(own, { force: true });
  const runbook = await timed(() => bringUp(fleet, { database, way: 'backup', backup: { file } }));
  await rm(file);
  return { way: 'backup', byHand, runbook };
}

/** A third process, on a host of the other server, filled by the follower. */
async function byChain(fleet: TestFleet, database: string): Promise<Measured> {
  const source = await fleet.follower(database);
  const other = fleet.dev.fleet.servers.find(({ hosts }) => !hosts.some(({ name }) => name === source.host));
  const host = other?.hosts[1];
  if (host === undefined) throw new FleetError('NotFound', 'The fleet has no second server.');
  const third: Endpoint = { host: host.name, address: host.address, port: source.port };
  const own = processFiles(fleet.dev.data.host(host.name), database).data;

  const runbook = await timed(() => bringUp(fleet, { database, way: 'chain', host: host.name }));
  await crash(fleet, database, third);
  await rm(own, { force: true });

  const byHand = await timed(async () => {
    const redis = await startByHand(fleet, database, third);
    const from = openRedis(source, fleet.dev.credentials, { timeoutMs: 5000 });
    await from.connect();
    await from.config('SET', 'repl-diskless-sync-delay', GATE_A_OPEN_DELAY);
    await followByHand(redis, source);
    await from.config('SET', 'repl-diskless-sync-delay', GATE_A_SHUT['repl-diskless-sync-delay']);
    from.disconnect();
    await followByHand(redis, await fleet.leader(database));
    redis.disconnect();
  });
  await crash(fleet, database, third);
  await rm(own, { force: true });
  return { way: 'chain', byHand, runbook };
}

async function bringUp(fleet: TestFleet, request: BringUpFollowerRequest): Promise<void> {
  const { temporal } = fleet.dev;
  const started = await startRunbook(temporal, 'bringUpFollower', request.database, request, {
    fleet: fleet.dev.fleet.name,
    databases: [request.database],
  });
  const ended = (await temporal.workflow
    .getHandle(started.workflowId, started.runId)
    .result()) as RunbookResult<BroughtUpFollower>;
  if (ended.result.way !== request.way) {
    throw new FleetError(
      'InvalidRequest',
      `${request.database} came up by ${ended.result.way}, not by ${String(request.way)}.`,
    );
  }
}

async function startByHand(fleet: TestFleet, database: string, endpoint: Endpoint): Promise<Redis> {
  const { directory, configuration } = processFiles(fleet.dev.data.host(endpoint.host), database);
  spawn(findBinary('redis-server', process.env), [configuration], {
    cwd: directory,
    detached: true,
    stdio: 'ignore',
  }).unref();
  return waitFor(
    async () => {
      const redis = openRedis(endpoint, fleet.dev.credentials, { timeoutMs: 30_000 });
      try {
        await redis.connect();
        if (/^loading:0/m.test(await redis.info())) return redis;
      } catch {
        // Not up yet.
      }
      redis.disconnect();
      return null;
    },
    { deadlineMs: 60_000, what: `${database} loads by hand` },
  );
}

async function followByHand(redis: Redis, leader: Endpoint): Promise<void> {
  await redis.replicaof(leader.address, leader.port);
  await waitFor(
    async () => {
      const info = await redis.info().catch(() => '');
      return /^master_link_status:up/m.test(info) && /^master_sync_in_progress:0/m.test(info) ? true : null;
    },
    { deadlineMs: 60_000, what: 'the link by hand' },
  );
}

async function crash(fleet: TestFleet, database: string, { host }: Endpoint): Promise<void> {
  const pid = fleet.pidOf(database, host);
  if (pid !== null) process.kill(pid, 'SIGKILL');
  await waitFor(() => Promise.resolve(fleet.pidOf(database, host) === null ? true : null), {
    deadlineMs: 10_000,
    what: `${database} on ${host} is gone`,
  });
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return (performance.now() - started) / 1000;
}

function barsOf(way: Way, measured: readonly Measured[]): Bar[] {
  const ofWay = measured.filter((one) => one.way === way);
  const overhead = spreadOf(ofWay.map(({ byHand, runbook }) => runbook - byHand));
  const byHand = spreadOf(ofWay.map((one) => one.byHand));
  const runbook = spreadOf(ofWay.map((one) => one.runbook));
  return [
    {
      ...atMost(
        `${way}: overhead of the runbook over the same by hand`,
        overhead.median,
        OVERHEAD_BOUND_SECONDS,
        's',
      ),
      spread: overhead,
    },
    {
      ...atMost(
        `${way}: runbook (by hand ${seconds(byHand.median)})`,
        runbook.median,
        byHand.median + OVERHEAD_BOUND_SECONDS,
        's',
      ),
      spread: runbook,
    },
  ];
}

function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}
