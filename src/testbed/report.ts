/** What the demo and every benchmark write with `--report FILE`. What does not apply is left out. */

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { execFileSync } from 'node:child_process';
import { findBinary } from '../dev/binaries.js';
import { FleetError, messageOf } from '../fleet/errors.js';

export interface Machine {
  readonly system: string;
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly node: string;
  readonly redis: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

export interface ReportStep {
  readonly name: string;
  readonly seconds: number;
}

/** A figure that was measured, and what it must not miss. */
export interface Bar {
  readonly name: string;
  readonly figure: number;
  readonly bound: number;
  readonly unit: string;
  readonly holds: boolean;
  /** Of a benchmark, which repeats. */
  readonly spread?: { readonly min: number; readonly median: number; readonly max: number };
}

export type Spread = NonNullable<Bar['spread']>;

/** Of a host that databases moved off. Bytes: what it has for Redis, and what Redis held there. */
export interface HostMemoryUse {
  readonly host: string;
  readonly total: number;
  readonly before: number;
  readonly most: number;
  readonly after: number;
  /** Beside a fork of its largest database and the reserve, afterwards; negative: that fork does not fit. */
  readonly leftBesideFork: number;
  /** A picture of it, beside the report. */
  readonly chart?: string;
}

/** The same thing measured on several systems in one run. */
export interface Comparison {
  readonly name: string;
  readonly unit: string;
  /** By system. */
  readonly figures: Readonly<Record<string, Spread>>;
}

export interface Report {
  readonly ok: boolean;
  readonly machine: Machine;
  readonly writes?: { readonly acknowledged: number; readonly lost: number };
  readonly leaderForks?: number;
  readonly steps?: readonly ReportStep[];
  readonly memory?: HostMemoryUse;
  readonly bars?: readonly Bar[];
  readonly comparisons?: readonly Comparison[];
  /** When `ok` is false: why, in a sentence. */
  readonly problem?: string;
}

/** At most `bound` is good. */
export function atMost(name: string, figure: number, bound: number, unit: string): Bar {
  return { name, figure, bound, unit, holds: figure <= bound };
}

/** At least `bound` is good. */
export function atLeast(name: string, figure: number, bound: number, unit: string): Bar {
  return { name, figure, bound, unit, holds: figure >= bound };
}

/** @throws RangeError for no figures */
export function spreadOf(figures: readonly number[]): NonNullable<Bar['spread']> {
  const sorted = [...figures].sort((a, b) => a - b);
  const [min] = sorted;
  const max = sorted.at(-1);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.ceil((sorted.length - 1) / 2)];
  if (min === undefined || max === undefined || low === undefined || high === undefined) {
    throw new RangeError('nothing was measured');
  }
  return { min, median: (low + high) / 2, max };
}

export function thisMachine(env: NodeJS.ProcessEnv = process.env): Machine {
  const cores = cpus();
  return {
    system: `${type()} ${release()}`,
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memory: totalmem(),
    node: process.version,
    redis: redisVersion(env),
    at: new Date().toISOString(),
  };
}

function redisVersion(env: NodeJS.ProcessEnv): string {
  try {
    const said = execFileSync(findBinary('redis-server', env), ['--version'], { encoding: 'utf8' });
    return /v=(\S+)/.exec(said)?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

/** One that `writeReport` wrote. @throws NotFound when there is none */
export function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch (error) {
    throw new FleetError('NotFound', `There is no report in ${file}: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws NotFound when the file cannot be written */
export function writeReport(file: string, report: Report): void {
  try {
    writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  } catch (error) {
    throw new FleetError('NotFound', `The report could not be written to ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
