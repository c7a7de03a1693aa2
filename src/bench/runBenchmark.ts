/** What every benchmark shares: its options, its lines while it works, its table, and where its figures are kept. */

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { FleetError, messageOf } from '../fleet/errors.js';
import {
  readReport,
  thisMachine,
  writeReport,
  type Bar,
  type Comparison,
  type Report,
} from '../testbed/report.js';

export interface BenchmarkRun {
  readonly repetitions: number;
  /** Of those that the benchmark has, in its order. */
  readonly cases: readonly string[];
  /** What `numbers` of the defaults ask for. */
  readonly numbers: Readonly<Record<string, number>>;
  /** A line for whoever waits. */
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface BenchmarkDefaults {
  readonly repetitions: number;
  /** What can be measured by itself with `--only`. */
  readonly cases?: readonly string[];
  /** Options that take a whole number, for small runs: `databases` is `--databases <n>`. */
  readonly numbers?: Readonly<Record<string, { readonly help: string; readonly value: number }>>;
  /** Draws a report as an SVG picture, for `--chart`. */
  readonly chart?: { readonly file: string; readonly draw: (report: Report) => string };
}

const ROOT = new URL('../../', import.meta.url);
const RESULTS = fileURLToPath(new URL('../../bench/results/', import.meta.url));
const INTERRUPTED = 130;

/** Runs a benchmark from the command line, prints its bars and stores its report; sets the exit code. */
export async function runBenchmark(
  name: string,
  defaults: BenchmarkDefaults,
  measure: (run: BenchmarkRun) => Promise<Report>,
): Promise<void> {
  const program = new Command(`bench/${name}`)
    .option('--report <file>', `write what was measured as JSON (default: bench/results/${name}.json)`)
    .option('--repetitions <n>', 'how often each is measured', positive, defaults.repetitions)
    .addHelpText('after', '\nExit codes: 0 all bars hold, 1 one does not, 2 called wrongly, 130 interrupted.')
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : 2);
    });
  const { cases = [], chart, numbers = {} } = defaults;
  for (const [option, { help, value }] of Object.entries(numbers)) {
    program.option(`--${option} <n>`, help, positive, value);
  }
  if (cases.length > 0) {
    program.addOption(
      new Option('--only <case...>', 'measure only these, and store nothing unless told where').choices(
        cases,
      ),
    );
  }
  if (chart) program.option('--chart <from.json>', `draw a report as ${chart.file}, and measure nothing`);
  program.parse();
  const options = program.opts<{ report?: string; repetitions: number; only?: string[]; chart?: string }>();
  if (chart && options.chart !== undefined) {
    writeFileSync(new URL(chart.file, ROOT), chart.draw(readReport(options.chart)));
    return;
  }
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => interruption.abort());
  }
  const started = performance.now();
  const tell = (line: string): void => {
    process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
  };
  const report = await measureOrExplain(() =>
    measure({
      repetitions: options.repetitions,
      cases: cases.filter((one) => options.only?.includes(one) ?? true),
      numbers: Object.fromEntries(
        Object.keys(numbers).map((option) => [option, Number(program.getOptionValue(option))]),
      ),
      tell,
      signal: interruption.signal,
    }),
  );
  if (interruption.signal.aborted) {
    process.exitCode = INTERRUPTED;
    return;
  }
  if (report.comparisons) process.stdout.write(`\n${comparisonTable(report.comparisons)}\n`);
  process.stdout.write(`\n${(report.bars ?? []).map(barText).join('\n')}\n`);
  const verdict = report.ok ? 'All bars hold.' : (report.problem ?? 'Not all bars hold.');
  const file = options.report ?? (options.only ? null : path.join(RESULTS, `${name}.json`));
  if (file !== null) {
    mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
    writeReport(file, report);
  }
  process.stdout.write(`\n${verdict}${file === null ? '' : ` Written to ${file}.`}\n`);
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

/** Median and maximum of each system, and how many times the first one's median the second's is. */
function comparisonTable(comparisons: readonly Comparison[]): string {
  const systems = [...new Set(comparisons.flatMap(({ figures }) => Object.keys(figures)))];
  const rows = comparisons.map(({ name, unit, figures }) => {
    const cells = systems.map((system) => {
      const spread = figures[system];
      return spread === undefined ? '' : `${shown(spread.median)} (max ${shown(spread.max)}) ${unit}`;
    });
    const [first, second] = systems.map((system) => figures[system]?.median);
    const ratio = first === undefined || !second ? '' : (first / second).toFixed(2);
    return [name, ...cells, ratio];
  });
  const head = ['medians', ...systems, systems.length > 1 ? `${systems[0] ?? ''} / ${systems[1] ?? ''}` : ''];
  const widths = head.map((title, at) =>
    Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0), title.length),
  );
  return [head, ...rows]
    .map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd())
    .join('\n');
}

function shown(figure: number): string {
  return Number.isInteger(figure) ? String(figure) : figure.toFixed(2);
}

function positive(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new InvalidArgumentError('Expected a whole number above 0.');
}
