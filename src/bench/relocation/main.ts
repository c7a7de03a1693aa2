/** Whether a host whose leaders grow is safe again before it is full, and for how long writes wait in a move. */

import { atLeast, atMost, spreadOf, thisMachine, type Bar, type Report } from '../../testbed/report.js';
import { runBenchmark, type BenchmarkRun } from '../runBenchmark.js';
import { emergency, withoutHelp, type Emergency, type Stage } from './emergency.js';
import { measurePauses, type PausesMeasured } from './pauses.js';

/** Writes wait in a move as long as in a switchover. A quarter is what such short times vary by. */
const PAUSE_RATIO = 1.25;
const MEGABYTE = 1e6;
/** Seconds, for a host that was not safe in the end. */
const NEVER = 1e9;

await runBenchmark(
  'relocation',
  {
    repetitions: 9,
    cases: ['nobody', 'emergency', 'pauses'],
    numbers: {
      runs: { help: 'how many emergencies', value: 10 },
      databases: { help: 'leaders on the host that is full', value: 3 },
      megabytes: { help: 'of payload, in each', value: 120 },
      growth: { help: 'megabytes a second, of all leaders together', value: 5 },
      large: { help: 'megabytes of the large database whose pause is measured', value: 300 },
    },
  },
  measure,
);

async function measure({ cases, numbers, repetitions, tell, signal }: BenchmarkRun): Promise<Report> {
  const { runs = 10, databases = 3, megabytes = 120, growth = 5, large = 300 } = numbers;
  const stage: Stage = { databases, megabytes, bytesPerSecond: growth * MEGABYTE };
  const emergencies: Emergency[] = [];
  let killedAfter: number | null = null;
  if (cases.includes('nobody')) {
    tell('a full host whose leaders grow, and nobody does anything');
    killedAfter = await withoutHelp(stage, signal);
    tell(
      killedAfter === null
        ? 'nothing was killed'
        : `the kernel killed a process after ${killedAfter.toFixed(1)} s`,
    );
  }
  if (cases.includes('emergency')) {
    for (let n = 1; n <= runs; n++) {
      signal.throwIfAborted();
      const one = await emergency(stage, signal);
      emergencies.push(one);
      for (const why of new Set(one.refusals)) tell(`not at once: ${why}`);
      tell(`${String(n)}/${String(runs)}: ${told(one)}`);
    }
  }
  const pauses = cases.includes('pauses') ? await measurePauses(repetitions, large, tell, signal) : null;
  return reportOf(emergencies, killedAfter, cases.includes('nobody'), pauses);
}

function told({ moved, safeAfterSeconds, fullAfterSeconds, kills, lost }: Emergency): string {
  const safe = safeAfterSeconds === null ? 'never safe' : `safe after ${safeAfterSeconds.toFixed(1)} s`;
  return `${safe} (full after ${fullAfterSeconds.toFixed(1)} s), moved ${moved.join(', ')}; killed ${String(kills)}, lost ${String(lost)}`;
}

function reportOf(
  emergencies: readonly Emergency[],
  killedAfter: number | null,
  withoutHelpRan: boolean,
  measured: PausesMeasured | null,
): Report {
  const all = measured?.pauses ?? [];
  const forks = sum(emergencies.map(({ leaderForks }) => leaderForks));
  const lost = sum(emergencies.map((one) => one.lost)) + (measured?.lost ?? 0);
  const acknowledged = sum(emergencies.map((one) => one.acknowledged)) + (measured?.acknowledged ?? 0);
  const bars: Bar[] = [
    ...emergencyBars(emergencies),
    ...(withoutHelpRan
      ? [atLeast('processes killed when nobody did anything', killedAfter === null ? 0 : 1, 1, 'processes')]
      : []),
    ...all.map(({ size, moves, switchovers }) =>
      atMost(
        `pause of writes, move against switchover, ${size}`,
        spreadOf(moves).median / spreadOf(switchovers).median,
        PAUSE_RATIO,
        'times',
      ),
    ),
    atMost('acknowledged writes lost', lost, 0, 'writes'),
    atMost('forks of leaders', forks, 0, 'forks'),
  ];
  return {
    ok: bars.every(({ holds }) => holds),
    machine: thisMachine(),
    writes: { acknowledged, lost },
    leaderForks: forks,
    comparisons: all.flatMap(({ size, moves, switchovers, outages }) => [
      {
        name: `pause of writes, ${size}`,
        unit: 'ms',
        figures: { move: spreadOf(moves), switchover: spreadOf(switchovers) },
      },
      {
        name: `as a client sees it, ${size}`,
        unit: 'ms',
        figures: { move: spreadOf(outages.moves), switchover: spreadOf(outages.switchovers) },
      },
    ]),
    bars,
  };
}

function emergencyBars(emergencies: readonly Emergency[]): Bar[] {
  const [first] = emergencies;
  if (first === undefined) return [];
  const shares = emergencies.map(
    ({ safeAfterSeconds, fullAfterSeconds }) => (safeAfterSeconds ?? NEVER) / fullAfterSeconds,
  );
  const inTime = shares.filter((share) => share < 1);
  const least = emergencies.map(({ leastAvailable }) => leastAvailable / MEGABYTE);
  const kills = sum(emergencies.map((one) => one.kills));
  return [
    atLeast('runs in which the host was safe before it was full', inTime.length, emergencies.length, 'runs'),
    {
      ...atMost(
        'until it was safe, of the time until it would have been full',
        Math.max(...shares),
        1,
        'of it',
      ),
      spread: spreadOf(shares),
    },
    { ...atLeast('left of the limit, at the least', Math.min(...least), 1, 'MB'), spread: spreadOf(least) },
    atMost(`processes killed for memory (${first.limit})`, kills, 0, 'processes'),
  ];
}

function sum(figures: readonly number[]): number {
  return figures.reduce((total, figure) => total + figure, 0);
}
