/** `scripts/demo`: a fleet of its own, what befalls it, and what that cost. */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Command, InvalidArgumentError } from 'commander';
import { FleetError, messageOf } from '../fleet/errors.js';
import { startTestFleet } from '../testbed/fleet.js';
import type { TestFleet } from '../testbed/fleet.js';
import { thisMachine, writeReport } from '../testbed/report.js';
import { Progress } from './progress.js';
import { demoReport, reportText } from './report.js';
import { tellStory } from './story.js';

interface DemoOptions {
  readonly report?: string;
  readonly keep?: boolean;
  readonly megabytes: number;
}

const WRITES_A_SECOND = 100;
const WATCH_SECONDS = 5;
const INTERRUPTED = 130;

const program = new Command('scripts/demo')
  .description(
    'Starts a small fleet of its own (2 servers, 4 hosts, 8 databases) and loads data into it. A follower is killed and ' +
      'brought back while the control worker is killed, a leader hands over under load, a leader is killed under load, ' +
      'all are backed up, and both copies of a database are destroyed and restored. On a second fleet a host fills ' +
      'up, and a database moves off it. Then it reports, and stops and removes all of it. Takes about three minutes.',
  )
  .option('--report <file>', 'write what was measured as JSON, and the chart of memory beside it')
  .option('--keep', 'leave the fleet running until Ctrl-C, and say how to use it')
  .option('--megabytes <n>', 'of data for each database', megabytes, 25)
  .addHelpText('after', '\nExit codes: 0 all holds, 1 something does not, 2 called wrongly, 130 interrupted.')
  .exitOverride((error) => {
    process.exit(error.exitCode === 0 ? 0 : 2);
  });
program.parse();
process.exitCode = await run(program.opts<DemoOptions>());

async function run(options: DemoOptions): Promise<number> {
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interruption.abort());
  const progress = new Progress(interruption.signal);
  let fleet: TestFleet | null = null;
  try {
    const started = await progress.step('start Temporal, Consul, a worker, 4 hosts and 8 databases', () =>
      startTestFleet({
        name: 'demo',
        servers: 2,
        databasesPerServer: 4,
        // Data, what the writers add, and a backlog of a quarter of it.
        maxmemory: `${Math.max(96, options.megabytes * 3)}MiB`,
        policy: 'automatic',
        tell: (line) => progress.say(line),
        tellOutput: () => undefined,
        signal: interruption.signal,
      }),
    );
    fleet = started;
    const story = await tellStory(
      started,
      { megabytes: options.megabytes, writeRate: WRITES_A_SECOND, watchSeconds: WATCH_SECONDS },
      progress,
    );
    const chart = options.report === undefined ? null : `${options.report.replace(/\.json$/, '')}-memory.svg`;
    const report = demoReport(story, progress.steps, chart === null ? null : path.basename(chart));
    process.stdout.write(reportText(story, report, progress.seconds));
    if (options.report !== undefined) writeReport(options.report, report);
    if (chart !== null) {
      writeFileSync(chart, story.full.chart);
      process.stdout.write(
        `\nA picture of the full host's memory, before, during and after the move: ${chart}\n`,
      );
    }
    if (options.keep === true) await keep(started, interruption.signal);
    return report.ok ? 0 : 1;
  } catch (error) {
    if (interruption.signal.aborted) return INTERRUPTED;
    return failed(error, options, progress);
  } finally {
    if (fleet) {
      process.stdout.write('\nStopping and removing all that was started …\n');
      await fleet.stop();
    }
  }
}

function failed(error: unknown, options: DemoOptions, progress: Progress): number {
  const problem = messageOf(error);
  process.stderr.write(`\nThe demo failed after ${progress.seconds.toFixed(0)} s: ${problem}\n`);
  if (!(error instanceof FleetError) && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n`);
  if (options.report !== undefined) {
    writeReport(options.report, { ok: false, machine: thisMachine(), steps: progress.steps, problem });
  }
  return 1;
}

async function keep({ dev }: TestFleet, signal: AbortSignal): Promise<void> {
  process.stdout.write(`
The fleet goes on running.

  Temporal UI   ${dev.addresses.temporalUi}
  Consul UI     ${dev.addresses.consulUi}
  Logs          ${dev.data.logs}

In another shell:

  source ${dev.data.env}
  redis-fleet status
  redis-fleet runbook list

Ctrl-C stops and removes all of it.
`);
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function megabytes(text: string): number {
  const number = Number(text);
  if (Number.isFinite(number) && number > 0 && number <= 10_000) return number;
  throw new InvalidArgumentError('Expected a number of megabytes.');
}
