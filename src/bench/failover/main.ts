/**
 * A change of leader as clients see it: this project's and Redis Sentinel's, one after the other in one run, with the
 * same processes, the same clients and the same detection time.
 */

import { FleetError } from '../../fleet/errors.js';
import { thisMachine, type Report } from '../../testbed/report.js';
import { runBenchmark, type BenchmarkRun } from '../runBenchmark.js';
import { drawFailover } from './chart.js';
import { Findings } from './findings.js';
import { CASES, measures } from './measures.js';

await runBenchmark(
  'failover',
  { repetitions: 7, cases: CASES, chart: { file: 'docs/images/failover.svg', draw: drawFailover } },
  measure,
);

async function measure(run: BenchmarkRun): Promise<Report> {
  const findings = new Findings();
  for (const name of CASES.filter((one) => run.cases.includes(one))) {
    run.signal.throwIfAborted();
    const skipped = await measures[name](run, findings);
    if (skipped !== null) run.tell(`${name}: not measured, because ${skipped}`);
  }
  const bars = findings.bars();
  if (bars.length === 0) throw new FleetError('InvalidRequest', 'Nothing was measured.');
  return {
    ok: bars.every(({ holds }) => holds),
    machine: thisMachine(),
    writes: findings.writes(),
    bars,
    comparisons: findings.comparisons(),
  };
}
