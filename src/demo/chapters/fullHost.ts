/** A host whose leaders grow until soon no fork fits: the alarm is raised, and a database moves off while it is written to. */

import { grow, type Growth } from '../../bench/relocation/growth.js';
import { connectFleet } from '../../client/index.js';
import { startRunbook } from '../../connections/startRunbook.js';
import { FleetError } from '../../fleet/errors.js';
import { memoryAlarms } from '../../fleet/memoryAlarm.js';
import { forecastFleet } from '../../fleet/relocation/forecast.js';
import { relocationState } from '../../fleet/relocation/observed.js';
import type { RunbookState } from '../../fleet/runbook.js';
import { readObserved } from '../../records/observed.js';
import { startTestFleet, type TestFleet } from '../../testbed/fleet.js';
import { leaderForks, sumOfForks } from '../../testbed/forks.js';
import { loadData } from '../../testbed/load.js';
import type { HostMemoryUse } from '../../testbed/report.js';
import { pause, waitFor } from '../../testbed/waiting.js';
import type { Relocated } from '../../workflows/relocateDatabases.js';
import { drawMemory, type MemoryCurve } from '../memoryChart.js';
import { MemorySamples } from '../memorySamples.js';
import type { Progress } from '../progress.js';
import { endsWell } from '../runbooks.js';

export interface FullHost {
  readonly alarm: string;
  readonly moved: Relocated['moved'];
  readonly runbook: RunbookState;
  /** Of the relocation. */
  readonly seconds: number;
  readonly memory: HostMemoryUse;
  readonly leaderForks: number;
  readonly acknowledged: number;
  readonly lost: number;
  /** SVG. */
  readonly chart: string;
}

const MiB = 1024 ** 2;
/** One leader can grow to its maxmemory here, with a fork of it; two cannot. */
const MEMORY_MIB = 768;
const MAXMEMORY_MIB = 288;
const LOADED_MB = 30;
/** Of both leaders together, a second. */
const GROWTH_MB = 4;
const AFTERWARDS_MS = 5_000;
const FULL = 'redis-01-a';

/** On a fleet of its own, of which one host may use little memory: agents hold to what the fleet file gives them. */
export async function fullHost(progress: Progress): Promise<FullHost> {
  const fleet = await progress.step(
    `start a second fleet; its host ${FULL} has only ${MEMORY_MIB} MiB of memory for Redis`,
    () =>
      startTestFleet({
        name: 'full',
        servers: 2,
        databasesPerServer: 2,
        maxmemory: `${MAXMEMORY_MIB}MiB`,
        memory: '2GiB',
        memoryOf: { [FULL]: `${MEMORY_MIB}MiB` },
        relocation: '{ policy: off, forkNoLongerFitsWithin: 1m }',
        tellOutput: () => undefined,
        signal: progress.signal,
      }),
  );
  try {
    return await growAndMove(fleet, progress);
  } finally {
    await fleet.stop();
  }
}

async function growAndMove(fleet: TestFleet, progress: Progress): Promise<FullHost> {
  const growing = fleet.dev.fleet.databases.flatMap(({ name, server }) =>
    FULL.startsWith(server) ? [name] : [],
  );
  const connection = connectFleet({ fleet: fleet.dev.fleet.name, consul: fleet.dev.consul });
  const { application } = fleet;
  const growths = new Map<string, Growth>();
  const samples = new MemorySamples(fleet);
  try {
    await progress.step(`load ${LOADED_MB} MB into each of the ${growing.length} leaders there`, async () => {
      for (const [seed, database] of growing.entries()) {
        const where = await fleet.leader(database);
        await loadData({ ...application, where, megabytes: LOADED_MB, seed });
      }
    });
    for (const database of growing) {
      const open = () => connection.redis(database, { ...application, onInterrupted: 'retry' });
      growths.set(database, grow(open, `grown:${database}:`, (GROWTH_MB * 1e6) / growing.length));
    }
    const alarm = await progress.step(
      `let them grow by ${GROWTH_MB} MB a second, until the alarm says that soon a fork does not fit`,
      () => waitFor(() => alarmOf(fleet), { deadlineMs: 120_000, everyMs: 500, what: `an alarm of ${FULL}` }),
    );
    progress.say(`the alarm: ${alarm}`);
    const alarmedAt = samples.seconds;
    const before = samples.latest(FULL);
    const { relocated, runbook } = await progress.step(
      `relocateDatabases: move what has to move off ${FULL}, while it is written to`,
      () => relocate(fleet, progress),
    );
    const movedAt = samples.seconds;
    await progress.step('watch the host a little longer', () => pause(AFTERWARDS_MS));
    const after = samples.latest(FULL);
    samples.stop();
    await Promise.all([...growths.values()].map((growth) => growth.stop()));
    const lost = await progress.step('read every acknowledged write back', () => lostOf(fleet, growths));
    const { moved } = relocated;
    return {
      alarm,
      moved,
      runbook,
      seconds: movedAt - alarmedAt,
      memory: {
        host: FULL,
        total: MEMORY_MIB * MiB,
        before,
        most: Math.max(...samples.of(FULL).map(({ used }) => used)),
        after,
        leftBesideFork: leftIn(relocated),
      },
      leaderForks: Math.max(
        sumOfForks(await leaderForks(fleet)),
        moved.reduce((sum, one) => sum + one.leaderForks, 0),
      ),
      acknowledged: [...growths.values()].reduce((sum, { acknowledged }) => sum + acknowledged, 0),
      lost,
      chart: drawMemory({
        title: `Two leaders grow by ${GROWTH_MB} MB a second, and their host gets room again`,
        total: MEMORY_MIB * MiB,
        limit: `all that ${FULL} has for Redis`,
        curves: curvesOf(samples, [...new Set(moved.map(({ leader }) => leader.host))]),
        marks: [
          { seconds: alarmedAt, label: 'alarm: relocateDatabases begins' },
          { seconds: movedAt, label: 'it ends' },
        ],
      }),
    };
  } finally {
    samples.stop();
    await Promise.all([...growths.values()].map((growth) => growth.stop()));
    connection.close();
  }
}

async function relocate(
  fleet: TestFleet,
  progress: Progress,
): Promise<{ readonly relocated: Relocated; readonly runbook: RunbookState }> {
  const approved = { 'move the databases': { by: 'the demo', reason: 'soon a fork does not fit' } };
  const started = await startRunbook(
    fleet.dev.temporal,
    'relocateDatabases',
    FULL,
    { host: FULL, approved },
    { fleet: fleet.dev.fleet.name, hosts: [FULL] },
  );
  const { runbook, result } = await endsWell(fleet, started, progress);
  return { relocated: result as Relocated, runbook };
}

async function alarmOf(fleet: TestFleet): Promise<string | null> {
  const { consul, fleet: file } = fleet.dev;
  const observed = await readObserved(consul, file.name);
  const forecasts = forecastFleet(relocationState({ ...observed, fleet: file, now: Date.now() }));
  return memoryAlarms(forecasts, file.relocation).find(({ host }) => host === FULL)?.text ?? null;
}

function leftIn({ after }: Relocated): number {
  const left = after.before.find(({ host }) => host === FULL)?.forks[0]?.left;
  if (left === undefined)
    throw new FleetError('NotFound', `The relocation did not say how ${FULL} was afterwards.`);
  return left;
}

async function lostOf(fleet: TestFleet, growths: ReadonlyMap<string, Growth>): Promise<number> {
  let lost = 0;
  for (const [database, growth] of growths)
    lost += await growth.lostAt(await fleet.leader(database), fleet.application);
  return lost;
}

function curvesOf(samples: MemorySamples, takers: readonly string[]): MemoryCurve[] {
  const full = samples.of(FULL);
  return [
    { name: `${FULL}, which fills up`, colour: '#dc2626', points: full },
    {
      name: 'the same, if its largest database forked and all of it were written meanwhile',
      colour: '#f59e0b',
      dashed: true,
      points: full.map(({ seconds, used, largest }) => ({ seconds, used: used + largest })),
    },
    ...takers.map((host) => ({
      name: `${host}, where the database goes`,
      colour: '#2563eb',
      points: samples.of(host),
    })),
  ];
}
