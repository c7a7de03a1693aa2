/**
 * A leader host that is nearly full, and whose leaders grow: all its processes live in a cgroup with a limit that kills.
 * A fork of its largest database does not fit any more when it begins.
 */

import { WorkflowFailedError } from '@temporalio/client';
import type { Redis } from 'ioredis';
import { connectFleet } from '../../client/index.js';
import { FleetError, messageOf } from '../../fleet/errors.js';
import { spendable } from '../../fleet/headroom.js';
import { memoryStore } from '../../records/memory.js';
import { reportStore } from '../../records/reports.js';
import { startTestFleet, type TestFleet } from '../../testbed/fleet.js';
import { leaderForks, sumOfForks } from '../../testbed/forks.js';
import { loadData } from '../../testbed/load.js';
import { pause, waitFor } from '../../testbed/waiting.js';
import { Writer } from '../../testbed/writer.js';
import { grow, type Growth } from './growth.js';
import { memoryLimit, processesBelow, type MemoryLimit } from './memoryLimit.js';
import { relieve } from './runs.js';

export interface Stage {
  readonly databases: number;
  readonly megabytes: number;
  /** Of all leaders together. */
  readonly bytesPerSecond: number;
}

export interface Emergency {
  readonly limit: string;
  /** Databases that were moved, in this order. */
  readonly moved: readonly string[];
  /** Until a fork of the largest database fits again; null: it never did. */
  readonly safeAfterSeconds: number | null;
  /** How long it would have taken at the pace of growth, from the beginning. */
  readonly fullAfterSeconds: number;
  /** The least that was left of the limit. Bytes. */
  readonly leastAvailable: number;
  readonly pausedMs: readonly number[];
  /** Why a relocation was not begun, or failed. */
  readonly refusals: readonly string[];
  readonly kills: number;
  readonly leaderForks: number;
  readonly acknowledged: number;
  readonly lost: number;
}

const WRITES_A_SECOND = 100;
/** Of what the largest database holds: too little for a fork of it. */
const ROOM_SHARE = 0.9;
const SAMPLE_MS = 100;
const LOOK_AGAIN_MS = 500;
const MOST_REFUSALS = 60;
const GROWN_FOR_MS = 25_000;
const KNOWN_WITHIN_MS = 120_000;
/** Without help it is over long before. */
const CONTROL_WITHIN_MS = 300_000;

/** For so long all hosts shall be safe afterwards. Seconds: they grow fast. */
const HORIZON_S = 60;

const FULL_SERVER = 'redis-01';

export async function emergency(stage: Stage, signal: AbortSignal): Promise<Emergency> {
  return staged(stage, signal, async ({ fleet, host, limit, writers, growths, total }) => {
    const available = (): number => Math.max(0, total - limit.used());
    const began = performance.now();
    const fullAfterSeconds = available() / stage.bytesPerSecond;
    let leastAvailable = available();
    const timer = setInterval(() => {
      leastAvailable = Math.min(leastAvailable, available());
    }, SAMPLE_MS);
    const moved: string[] = [];
    const pausedMs: number[] = [];
    const refusals: string[] = [];
    let safeAfterSeconds: number | null = null;
    try {
      for (;;) {
        signal.throwIfAborted();
        const leaders = await led(fleet, host);
        const [largest] = leaders;
        if (largest === undefined) break;
        if (spendable({ total, available: available() }) >= largest.usedMemory) {
          safeAfterSeconds = (performance.now() - began) / 1_000;
          break;
        }
        const relocated = await relieve(fleet, host, HORIZON_S).catch((error: unknown) => {
          refusals.push(whyFailed(error));
          return null;
        });
        for (const { database, pausedMs: paused } of relocated?.moved ?? []) {
          moved.push(database);
          if (paused !== null) pausedMs.push(paused);
        }
        if (limit.kills() > 0 || refusals.length > MOST_REFUSALS) break;
        // The agent had not told yet how little is left, or how fast it gets less.
        if ((relocated?.moved.length ?? 0) === 0) await pause(LOOK_AGAIN_MS);
      }
    } finally {
      clearInterval(timer);
    }
    await Promise.all([...writers, ...growths].map((one) => one.stop()));
    let [acknowledged, lost] = [0, 0];
    for (const [index, database] of databasesOf(fleet).entries()) {
      const where = await fleet.leader(database);
      const verified = await writers[index]?.verify(where);
      acknowledged += (verified?.acknowledged ?? 0) + (growths[index]?.acknowledged ?? 0);
      lost += (verified?.lost ?? 0) + ((await growths[index]?.lostAt(where, fleet.application)) ?? 0);
    }
    return {
      limit: limit.kind,
      moved,
      safeAfterSeconds,
      fullAfterSeconds,
      leastAvailable,
      pausedMs,
      refusals,
      kills: limit.kills(),
      leaderForks: sumOfForks(await leaderForks(fleet)),
      acknowledged,
      lost,
    };
  });
}

/** The same, and nobody does anything. @returns seconds until the kernel killed a process; null: it did not */
export async function withoutHelp(stage: Stage, signal: AbortSignal): Promise<number | null> {
  return staged(stage, signal, async ({ limit }) => {
    const began = performance.now();
    try {
      await waitFor(() => limit.kills() > 0, {
        deadlineMs: CONTROL_WITHIN_MS,
        everyMs: SAMPLE_MS,
        what: 'the kernel to kill a process',
      });
    } catch (error) {
      if (error instanceof FleetError) return null;
      throw error;
    }
    return (performance.now() - began) / 1_000;
  });
}

interface Staged {
  readonly fleet: TestFleet;
  /** The one that is full. */
  readonly host: string;
  readonly limit: MemoryLimit;
  /** Bytes that it has in all. */
  readonly total: number;
  readonly writers: readonly Writer[];
  readonly growths: readonly Growth[];
}

async function staged<T>(
  { databases, megabytes, bytesPerSecond }: Stage,
  signal: AbortSignal,
  use: (staged: Staged) => Promise<T>,
): Promise<T> {
  const limit = memoryLimit(`redis-fleet-bench-${String(process.pid)}`);
  let fleet: TestFleet | null = null;
  const writers: Writer[] = [];
  const growths: Growth[] = [];
  let connected: ReturnType<typeof connectFleet> | null = null;
  try {
    fleet = await startTestFleet({
      servers: 2,
      databasesPerServer: databases,
      name: 'full',
      maxmemory: `${String(megabytes * 4)}MiB`,
      memory: '64GiB',
      signal,
    });
    const { dev, application } = fleet;
    const names = databasesOf(fleet);
    const { host } = await fleet.leader(names[0] ?? '');
    const agent = dev.pidOf(`agent:${host}`);
    if (agent === null) throw new FleetError('Unreachable', `The agent of ${host} does not run.`);
    // Before they hold anything: a page belongs to the cgroup that its process was in when it was first touched.
    for (const pid of [agent, ...processesBelow(dev.data.host(host))]) limit.take(pid);
    connected = connectFleet({ fleet: dev.fleet.name, consul: dev.consul });
    const client = connected;
    for (const [seed, database] of names.entries()) {
      const where = await fleet.leader(database);
      await loadData({ ...application, where, megabytes, seed });
      const open = (): Redis => client.redis(database, { password: application.password });
      writers.push(Writer.start({ ...application, open, rate: WRITES_A_SECOND }));
      growths.push(grow(open, `grown:${database}:`, bytesPerSecond / names.length));
    }
    await hasGrownFor(fleet, host, GROWN_FOR_MS);
    const [largest] = await led(fleet, host);
    const total = Math.round(limit.used() + (largest?.usedMemory ?? 0) * ROOM_SHARE);
    limit.limitTo(total);
    // Who plans knows of a limit what the agent says of it.
    const reports = reportStore(dev.consul, dev.fleet.name);
    await waitFor(
      async () =>
        (await reports.list()).some((report) => report.host === host && report.memory.total <= total),
      { deadlineMs: KNOWN_WITHIN_MS, everyMs: SAMPLE_MS, what: `the agent of ${host} to tell its limit` },
    );
    return await use({ fleet, host, limit, total, writers, growths });
  } finally {
    await Promise.all([...writers, ...growths].map((one) => one.stop()));
    connected?.close();
    await fleet?.stop();
    await limit.remove();
  }
}

function whyFailed(error: unknown): string {
  return error instanceof WorkflowFailedError && error.cause instanceof Error
    ? error.cause.message
    : messageOf(error);
}

/** Until its agent has told how it grows since it was loaded: an emergency is hardly ever one of the first seconds. */
async function hasGrownFor({ dev }: TestFleet, host: string, milliseconds: number): Promise<void> {
  const since = Date.now();
  const store = memoryStore(dev.consul, dev.fleet.name);
  await waitFor(async () => ((await store.read(host))?.samples.at(-1)?.at ?? 0) >= since + milliseconds, {
    deadlineMs: KNOWN_WITHIN_MS,
    everyMs: SAMPLE_MS,
    what: `the agent of ${host} to tell how it grows`,
  });
}

/** Those that begin on the host that is full. */
function databasesOf(fleet: TestFleet): readonly string[] {
  return fleet.dev.fleet.databases.filter(({ server }) => server === FULL_SERVER).map(({ name }) => name);
}

/** What a host leads, the largest first. */
async function led(
  fleet: TestFleet,
  host: string,
): Promise<readonly { readonly database: string; readonly usedMemory: number }[]> {
  const found: { database: string; usedMemory: number }[] = [];
  for (const database of databasesOf(fleet)) {
    const leader = await fleet.leader(database);
    if (leader.host !== host) continue;
    const { usedMemory } = await fleet.facts(leader);
    found.push({ database, usedMemory });
  }
  return found.toSorted((a, b) => b.usedMemory - a.usedMemory);
}
