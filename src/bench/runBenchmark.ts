/** What every benchmark shares: its options, its lines while it works, its table, and where its figures are kept. */

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { FleetError, messageOf } from '../fleet/errors.js';
import { thisMachine, writeReport, type Bar, type Report } from '../testbed/report.js';

export interface BenchmarkRun {
  readonly repetitions: number;
  /** A line for whoever waits. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

const RESULTS = fileURLToPath(new URL('../../bench/results/', import.meta.url));
const INTERRUPTED = 130;

/** Runs a benchmark from the command line, prints its bars and stores its report; sets the exit code. */
export async function runBenchmark(
  name: string,
  defaults: { readonly repetitions: number },
  measure: (run: BenchmarkRun) => Promise<Report>,
): Promise<void> {
  const program = new Command(`bench/${name}`)
    .option('--report <file>', `write what was measured as JSON (default: bench/results/${name}.json)`)
    .option('--repetitions <n>', 'how often each is measured', positive, defaults.repetitions)
    .addHelpText('after', '\nExit codes: 0 all bars hold, 1 one does not, 2 called wrongly, 130 interrupted.')
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : 2);
    });
  program.parse();
  const options = program.opts<{ report?: string; repetitions: number }>();
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => interruption.abort());
  }
  const started = performance.now();
  const tell = (line: string): void => {
    process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
  };
  const report = await measureOrExplain(() =>
    measure({ repetitions: options.repetitions, tell, signal: interruption.signal }),
  );
  if (interruption.signal.aborted) {
    process.exitCode = INTERRUPTED;
    return;
  }
  process.stdout.write(`\n${(report.bars ?? []).map(barText).join('\n')}\n`);
  const file = options.report ?? path.join(RESULTS, `${name}.json`);
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  writeReport(file, report);
  process.stdout.write(
    `\n${report.ok ? 'All bars hold.' : (report.problem ?? 'Not all bars hold.')} Written to ${file}.\n`,
  );
  process.exitCode = report.ok ? 0 : 1;
}

async function measureOrExplain(measure: () => Promise<Report>): Promise<Report> {
  try {
    return await measure();
  } catch (error) {
    if (!(error instanceof FleetError) && error instanceof Error)
      process.stderr.write(`${error.stack ?? ''}\n`);
    return { ok: false, machine: thisMachine(), problem: messageOf(error) };
  }
}

function barText({ name, figure, bound, unit, holds, spread }: Bar): string {
  const range =
    spread === undefined
      ? ''
      : `  (min ${shown(spread.min)}, median ${shown(spread.median)}, max ${shown(spread.max)})`;
  return `  ${holds ? 'yes' : 'NO '}  ${name}: ${shown(figure)} ${unit}, bound ${shown(bound)}${range}`;
}

function shown(figure: number): string {
  return Number.isInteger(figure) ? String(figure) : figure.toFixed(2);
}

function positive(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new InvalidArgumentError('Expected a whole number above 0.');
}
