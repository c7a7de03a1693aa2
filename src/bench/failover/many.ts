/** Leaders of one host that are killed at once, and when the last of them has a successor that takes writes. */

import { spawn } from 'node:child_process';
import process from 'node:process';
import { openRedis, withRedis } from '../../connections/redis.js';
import { findBinary } from '../../dev/binaries.js';
import { FleetError } from '../../fleet/errors.js';
import { GATE_A_OPEN_DELAY, GATE_A_SHUT } from '../../fleet/gates.js';
import { showEndpoint, type DatabaseRecord, type Endpoint } from '../../fleet/record.js';
import { processFiles } from '../../host/layout.js';
import { recordStore } from '../../records/databases.js';
import { now, startTraffic, type Traffic } from '../../testbed/traffic.js';
import { spreadOf } from '../../testbed/report.js';
import { pause, waitFor } from '../../testbed/waiting.js';
import type { Ours } from './ours.js';
import { showAddress, type Stage } from './stage.js';

export interface ManyObservation {
  /** Until the first, the median and the last takes writes again, in milliseconds since all were killed. */
  readonly first: number;
  readonly median: number;
  readonly last: number;
  readonly acknowledged: number;
  readonly lost: number;
}

/** Of each client: so few that 64 of them leave the two cores to the systems. */
const RATE = 50;
const FLOW_WITHIN_MS = 60_000;
const FLOW_FOR_MS = 1000;
const REPLACED_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 200;
const SETTLE_MS = 1000;
const RESTORED_WITHIN_MS = 60_000;
const TIMEOUT_MS = 10_000;

/**
 * @param stages all of one host: the clients of each write, however many leaders are killed
 * @param killed some of them
 */
export async function killedTogether(
  stages: readonly Stage[],
  killed: readonly Stage[],
): Promise<ManyObservation> {
  const hit = killed.map((stage) => ({ stage, index: stages.indexOf(stage) }));
  const traffic = await startTraffic(
    stages.map(({ database, route, login }) => ({ name: database, route, login, rate: RATE, inFlight: 64 })),
  );
  try {
    const from = now();
    await waitFor(
      async () => {
        const seen = await traffic.figures({ from: from + FLOW_FOR_MS });
        return seen.every(({ acknowledged }) => acknowledged > 0);
      },
      { deadlineMs: FLOW_WITHIN_MS, what: `clients of ${stages.length} databases to write` },
    );
    const pids = killed.map((stage) => stage.leaderPid());
    const at = now();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    // A database that nobody leads by then shows in the figures: its outage has not ended.
    const deadline = at + REPLACED_WITHIN_MS;
    while (!(await allMoved(traffic, hit, at)) && now() < deadline) await pause(LOOK_EVERY_MS);
    await pause(SETTLE_MS);
    const figures = await traffic.figures({ from: at });
    await traffic.stop();
    const outages = spreadOf(hit.map(({ index }) => (figures[index]?.gap.to ?? Number.NaN) - at));
    const checked = await Promise.all(
      hit.map(async ({ stage, index }) => traffic.verify(index, await stage.leaderNow(), stage.login)),
    );
    return {
      first: outages.min,
      median: outages.median,
      last: outages.max,
      acknowledged: checked.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
      lost: checked.reduce((sum, { lost }) => sum + lost, 0),
    };
  } finally {
    traffic.end();
  }
}

async function allMoved(
  traffic: Traffic,
  hit: readonly { readonly stage: Stage; readonly index: number }[],
  since: number,
): Promise<boolean> {
  const seen = await traffic.figures({ from: since });
  return hit.every(({ stage: { leader }, index }) =>
    Object.keys(seen[index]?.by ?? {}).some((server) => server !== showAddress(leader)),
  );
}

/**
 * Gives databases of ours that have lost their leaders' processes followers on those hosts again. By hand, all at once:
 * what a bring-up takes care of does not matter for empty databases that live for minutes.
 */
export async function restoreFollowers(
  ours: Ours,
  lost: readonly { readonly database: string; readonly process: Endpoint }[],
): Promise<void> {
  await Promise.all(lost.map(({ database, process }) => restoreFollower(ours, database, process)));
  await ours.watched();
}

async function restoreFollower({ fleet }: Ours, database: string, follower: Endpoint): Promise<void> {
  const { dev } = fleet;
  const { directory, configuration } = processFiles(dev.data.host(follower.host), database);
  spawn(findBinary('redis-server', process.env), [configuration], {
    cwd: directory,
    detached: true,
    stdio: 'ignore',
  }).unref();
  const { leader } = await fleet.record(database);
  await withRedis(leader, dev.credentials, { timeoutMs: TIMEOUT_MS }, (redis) =>
    redis.config('SET', 'repl-diskless-sync-delay', GATE_A_OPEN_DELAY),
  );
  await waitFor(
    async () => {
      const redis = openRedis(follower, dev.credentials, { timeoutMs: TIMEOUT_MS });
      try {
        await redis.connect();
        await redis.replicaof(leader.address, leader.port);
        return true;
      } finally {
        redis.disconnect();
      }
    },
    { deadlineMs: RESTORED_WITHIN_MS, what: `${database} on ${showEndpoint(follower)} to answer` },
  );
  await waitFor(async () => (await fleet.facts(follower)).link?.up === true, {
    deadlineMs: RESTORED_WITHIN_MS,
    what: `${database} on ${showEndpoint(follower)} to follow`,
  });
  await withRedis(leader, dev.credentials, { timeoutMs: TIMEOUT_MS }, (redis) =>
    redis.config('SET', 'repl-diskless-sync-delay', GATE_A_SHUT['repl-diskless-sync-delay']),
  );
  await waitFor(() => named(fleet, database, follower), {
    deadlineMs: RESTORED_WITHIN_MS,
    what: `the record of ${database} to name its follower`,
  });
}

/** Once nobody owns it. */
async function named(fleet: Ours['fleet'], database: string, follower: Endpoint): Promise<boolean> {
  const records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  const stored = await records.read(database);
  if (stored === null) throw new FleetError('NotFound', `${database} has no record.`);
  if (stored.record.operation !== undefined) return false;
  const record: DatabaseRecord = { ...stored.record, follower };
  return records.compareAndSet(record, stored.modifyIndex);
}
