/**
 * A change of leader as clients see it: this project's and Redis Sentinel's, one after the other in one run, with the
 * same processes, the same clients and the same detection time.
 */

import { FleetError, messageOf } from '../../fleet/errors.js';
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
  const problems: string[] = [];
  for (const name of CASES.filter((one) => run.cases.includes(one))) {
    run.signal.throwIfAborted();
    try {
      const skipped = await measures[name](run, findings);
      if (skipped !== null) run.tell(`${name}: not measured, because ${skipped}`);
    } catch (error) {
      run.signal.throwIfAborted();
      // What was measured until here is worth having all the same.
      problems.push(`${name}: ${messageOf(error)}`);
      run.tell(`${name} was broken off: ${messageOf(error)}`);
    }
  }
  const bars = findings.bars();
  if (bars.length + problems.length === 0) throw new FleetError('InvalidRequest', 'Nothing was measured.');
  return {
    ok: bars.every(({ holds }) => holds) && problems.length === 0,
    ...(problems.length > 0 ? { problem: problems.join(' ') } : {}),
    machine: thisMachine(),
    writes: findings.writes(),
    bars,
    comparisons: findings.comparisons(),
  };
}
