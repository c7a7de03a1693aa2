/**
 * What a sweep of many databases on one host costs, under light writes, against a shell loop of BGSAVE, cp and sha256sum
 * on the same machine in the same run. The sweep also reads everything back, and through redis-check-rdb.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { startRunbook } from '../../connections/startRunbook.js';
import { FleetError } from '../../fleet/errors.js';
import type { RunbookResult } from '../../fleet/runbook.js';
import { actionsOf } from '../../testbed/actions.js';
import { startTestFleet, type TestFleet } from '../../testbed/fleet.js';
import { forksBetween, leaderForks } from '../../testbed/forks.js';
import { loadData } from '../../testbed/load.js';
import { atMost, spreadOf, thisMachine, type Bar, type Report } from '../../testbed/report.js';
import { waitFor } from '../../testbed/waiting.js';
import { Writer } from '../../testbed/writer.js';
import type { Sweep } from '../../workflows/backupSweep.js';
import { runBenchmark, type BenchmarkRun } from '../runBenchmark.js';
import { shellLoop } from './shellLoop.js';
import { watchMemory, type MemoryWatch } from './watchMemory.js';

const WRITES_A_SECOND = 100;
/** Sessions, carts and their like are text. */
const COMPRESSIBLE = 1;
const TIME_RATIO = 1.25;
const STORED_SHARE = 0.5;
const AGENT_BYTES = 64 * 1024 ** 2;
/** For 16 databases. */
const ACTIONS = 40;
const ACTIONS_FOR = 16;
const SCHEDULED_START = 3;
/** An activity of a sweep beats so often. */
const HEARTBEAT_MS = 10_000;

interface Swept {
  readonly seconds: number;
  readonly actions: number;
  readonly memory: MemoryWatch;
  readonly plainBytes: number;
  readonly storedBytes: number;
}

await runBenchmark(
  'backup',
  {
    repetitions: 3,
    numbers: {
      databases: { help: 'how many databases', value: 16 },
      megabytes: { help: 'of payload, in each', value: 100 },
    },
  },
  measure,
);

async function measure({ repetitions, numbers, tell, signal }: BenchmarkRun): Promise<Report> {
  const { databases = 16, megabytes = 100 } = numbers;
  tell(
    `starting ${String(databases)} databases on one server, and filling them with ${String(megabytes)} MB each`,
  );
  const fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: databases,
    maxmemory: `${String(Math.max(64, megabytes * 3))}MiB`,
    memory: '64GiB',
    backups: '{ paused: true, compression: off }',
    signal,
  });
  const writers: Writer[] = [];
  try {
    for (const [seed, database] of fleet.databases.entries()) {
      const where = await fleet.leader(database);
      await loadData({ ...fleet.application, where, megabytes, seed, compressible: COMPRESSIBLE });
      const locate = (): ReturnType<TestFleet['leader']> => fleet.leader(database);
      writers.push(Writer.start({ ...fleet.application, locate, rate: WRITES_A_SECOND }));
    }
    await waitFor(() => writers.every(({ counts }) => counts.acknowledged > 10), {
      deadlineMs: 30_000,
      what: 'acknowledged writes',
    });
    const before = await leaderForks(fleet);
    const byHand: number[] = [];
    const plain: Swept[] = [];
    for (let n = 1; n <= repetitions; n++) {
      signal.throwIfAborted();
      byHand.push(await shellLoop(fleet));
      plain.push(await sweep(fleet));
      const [hand, own] = [byHand.at(-1) ?? 0, plain.at(-1)];
      tell(
        `${String(n)}/${String(repetitions)}: loop ${hand.toFixed(1)} s, sweep ${own?.seconds.toFixed(1) ?? ''} s`,
      );
    }
    await compress(fleet);
    const compressed: Swept[] = [];
    for (let n = 1; n <= repetitions; n++) {
      signal.throwIfAborted();
      compressed.push(await sweep(fleet));
      tell(
        `${String(n)}/${String(repetitions)}: sweep with compression ${compressed.at(-1)?.seconds.toFixed(1) ?? ''} s`,
      );
    }
    const { forks } = forksBetween(before, await leaderForks(fleet));
    return reportOf({ databases, byHand, plain, compressed, forks });
  } finally {
    await Promise.all(writers.map((writer) => writer.stop()));
    await fleet.stop();
  }
}

async function sweep(fleet: TestFleet): Promise<Swept> {
  const [first = ''] = fleet.databases;
  const { host } = await fleet.follower(first);
  const agent = fleet.dev.pidOf(`agent:${host}`);
  if (agent === null) throw new FleetError('Unreachable', `The agent of ${host} does not run.`);
  const end = watchMemory(agent, fleet.dev.data.host(host));
  const { temporal } = fleet.dev;
  const began = performance.now();
  const subject = { fleet: fleet.dev.fleet.name, hosts: [host] };
  const started = await startRunbook(temporal, 'backupSweep', host, { host }, subject);
  const handle = temporal.workflow.getHandle(started.workflowId, started.runId);
  const { result } = (await handle.result()) as RunbookResult<Sweep>;
  const seconds = (performance.now() - began) / 1_000;
  const memory = end();
  const verified = result.databases.filter((one) => one.how === 'verified');
  if (verified.length !== fleet.databases.length) {
    throw new FleetError('FollowerUnfit', `Not all were backed up: ${JSON.stringify(result.databases)}`);
  }
  const { total } = actionsOf(await handle.fetchHistory(), {
    start: SCHEDULED_START,
    heartbeatEveryMs: HEARTBEAT_MS,
  });
  return {
    seconds,
    actions: total,
    memory,
    plainBytes: verified.reduce((sum, { plainBytes }) => sum + plainBytes, 0),
    storedBytes: verified.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  };
}

async function compress(fleet: TestFleet): Promise<void> {
  const file = fleet.dev.env['REDIS_FLEET_FILE'] ?? '';
  writeFileSync(file, readFileSync(file, 'utf8').replace('compression: off', 'compression: zstd'));
  await fleet.dev.apply();
}

function reportOf(measured: {
  readonly databases: number;
  readonly byHand: readonly number[];
  readonly plain: readonly Swept[];
  readonly compressed: readonly Swept[];
  readonly forks: number;
}): Report {
  const { databases, byHand, plain, compressed, forks } = measured;
  const all = [...plain, ...compressed];
  const secondsOf = (sweeps: readonly Swept[]): number[] => sweeps.map(({ seconds }) => seconds);
  const ratios = plain.map(({ seconds }, n) => seconds / (byHand[n] ?? seconds));
  const MiB = 1024 ** 2;
  const bars: Bar[] = [
    spread('sweep against the shell loop, compression off', ratios, TIME_RATIO, 'times'),
    spread(
      'stored with compression, of the files',
      compressed.map(({ storedBytes, plainBytes }) => storedBytes / plainBytes),
      STORED_SHARE,
      'of the bytes',
    ),
    spread(
      'memory of the agent beyond what it had',
      all.map(({ memory }) => memory.agent / MiB),
      AGENT_BYTES / MiB,
      'MiB',
    ),
    atMost('forks at once', Math.max(...all.map(({ memory }) => memory.forksAtOnce)), 1, 'forks'),
    atMost(
      `actions for ${String(databases)} databases, on schedule`,
      Math.max(...all.map(({ actions }) => actions)),
      databases <= ACTIONS_FOR ? ACTIONS : Math.ceil((ACTIONS * databases) / ACTIONS_FOR),
      'actions',
    ),
    atMost('forks of leaders', forks, 0, 'forks'),
  ];
  return {
    ok: bars.every(({ holds }) => holds),
    machine: thisMachine(),
    leaderForks: forks,
    comparisons: [
      {
        name: 'all databases',
        unit: 's',
        figures: {
          'sweep, compression off': spreadOf(secondsOf(plain)),
          'BGSAVE, cp, sha256sum': spreadOf(byHand),
          'sweep, zstd': spreadOf(secondsOf(compressed)),
        },
      },
      {
        name: 'copy-on-write of the forks, at its peak',
        unit: 'MiB',
        figures: { 'sweep, compression off': spreadOf(plain.map(({ memory }) => memory.fork / MiB)) },
      },
      {
        name: 'bytes stored',
        unit: 'MiB',
        figures: {
          'sweep, compression off': spreadOf(plain.map(({ storedBytes }) => storedBytes / MiB)),
          'sweep, zstd': spreadOf(compressed.map(({ storedBytes }) => storedBytes / MiB)),
        },
      },
    ],
    bars,
  };
}

/** The median counts. */
function spread(name: string, figures: readonly number[], bound: number, unit: string): Bar {
  const range = spreadOf(figures);
  return { ...atMost(name, range.median, bound, unit), spread: range };
}
