/** What an agent costs the host that it lives on: memory and processor time with 16 databases, idle. */

import { readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { FleetError } from '../fleet/errors.js';
import { startTestFleet } from '../testbed/fleet.js';
import { atMost, spreadOf, thisMachine, type Report } from '../testbed/report.js';
import { pause } from '../testbed/waiting.js';
import { runBenchmark, type BenchmarkRun } from './runBenchmark.js';

const DATABASES = 16;
/** Until what runs all the time was compiled. */
const SETTLE_MS = 60_000;
const WINDOW_MS = 20_000;
const MEGABYTES_BOUND = 160;
const PERCENT_BOUND = 2;

await runBenchmark('agent', { repetitions: 3 }, measure);

async function measure({ repetitions, tell, signal }: BenchmarkRun): Promise<Report> {
  tell(`starting one server with ${DATABASES} databases`);
  const fleet = await startTestFleet({ servers: 1, databasesPerServer: DATABASES, signal });
  try {
    const pids = fleet.dev.fleet.servers.flatMap(({ hosts }) =>
      hosts.map(({ name }) => pidOf(name, fleet.dev.pidOf(`agent:${name}`))),
    );
    tell('letting it settle');
    await pause(SETTLE_MS);
    const memory: number[] = [];
    const processor: number[] = [];
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      const before = pids.map(processorSeconds);
      const since = performance.now();
      await pause(WINDOW_MS);
      const seconds = (performance.now() - since) / 1000;
      for (const [index, pid] of pids.entries()) {
        memory.push(residentMegabytes(pid));
        processor.push(((processorSeconds(pid) - (before[index] ?? 0)) / seconds) * 100);
      }
      tell(
        `${repetition}/${repetitions}: ${memory.at(-1)?.toFixed(0) ?? '?'} MB, ${processor.at(-1)?.toFixed(2) ?? '?'} % of a core`,
      );
    }
    const mb = spreadOf(memory);
    const percent = spreadOf(processor);
    const bars = [
      { ...atMost(`resident memory with ${DATABASES} databases`, mb.max, MEGABYTES_BOUND, 'MB'), spread: mb },
      { ...atMost('processor time, idle', percent.median, PERCENT_BOUND, '% of a core'), spread: percent },
    ];
    return { ok: bars.every(({ holds }) => holds), machine: thisMachine(), bars };
  } finally {
    await fleet.stop();
  }
}

function pidOf(host: string, pid: number | null): number {
  if (pid === null) throw new FleetError('NotFound', `The agent of ${host} does not run.`);
  return pid;
}

function residentMegabytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}

/** User and system time, of all threads. */
function processorSeconds(pid: number): number {
  const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return (Number(afterName[11]) + Number(afterName[12])) / ticks;
}
