/** How long it takes to plan relocations for a large fleet, and how much is moved beyond what is needed. Runs no server. */

import { planRelocation } from '../fleet/relocation/planner.js';
import type { Goal } from '../fleet/relocation/plan.js';
import { atMost, spreadOf, thisMachine, type Bar, type Report } from '../testbed/report.js';
import { largeFleet } from '../testbed/largeFleet.js';
import { runBenchmark, type BenchmarkRun } from './runBenchmark.js';

const SECONDS_BOUND = 2;
const GiB = 1024 ** 3;

await runBenchmark(
  'planner',
  {
    repetitions: 7,
    numbers: {
      servers: { help: 'pairs of hosts', value: 500 },
      databases: { help: 'on each server', value: 32 },
      trouble: { help: 'servers that are nearly full, and grow', value: 20 },
    },
  },
  (run) => Promise.resolve(measure(run)),
);

function measure({ repetitions, numbers, tell }: BenchmarkRun): Report {
  const { servers = 0, databases = 0, trouble = 0 } = numbers;
  const goals: readonly (readonly [string, Goal])[] = [
    [`relieve ${String(trouble * 2)} hosts`, { kind: 'relieve' }],
    ['drain one host', { kind: 'drain', host: 'redis-0001-a' }],
    ['rebalance', { kind: 'rebalance' }],
  ];
  const fleet = `${String(servers * 2)} hosts with ${String(servers * databases)} databases`;
  const bars = goals.map(([name, goal]): Bar => {
    const seconds = Array.from({ length: repetitions }, (_, n) => {
      const state = largeFleet({ servers, databasesEach: databases, inTrouble: trouble, seed: n + 1 });
      const before = performance.now();
      const plan = planRelocation(state, goal);
      const took = (performance.now() - before) / 1_000;
      const moved =
        plan.kind === 'plan'
          ? `${String(plan.moves.length)} moves, ${(plan.bytes / GiB).toFixed(1)} GiB`
          : '';
      tell(`${name}: ${took.toFixed(2)} s, ${plan.kind}${moved === '' ? '' : `, ${moved}`}`);
      return took;
    });
    const spread = spreadOf(seconds);
    return { ...atMost(`${fleet}: ${name}`, spread.median, SECONDS_BOUND, 's'), spread };
  });
  return { ok: bars.every(({ holds }) => holds), machine: thisMachine(), bars };
}
