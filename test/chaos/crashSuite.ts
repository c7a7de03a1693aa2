/** The tests of a crash matrix: one for each case, found by running each procedure once without a kill. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestFleet, type TestFleet, type TestFleetOptions } from '../../src/testbed/fleet.js';
import { recordCases, runCases, type Case, type Finding } from './crashMatrix.js';
import { Holds } from './crashPoints.js';
import type { Outcome, Procedure } from './procedure.js';

/** Minutes on an idle machine; a busy one may take three times as long. */
const MATRIX_WITHIN_MS = 1_200_000;

export interface CrashSuiteOptions extends TestFleetOptions {
  /** The databases that procedures run on, each on one of its own. Default: all. */
  readonly on?: (fleet: TestFleet) => readonly string[];
}

/** Call it with await while the test file is collected: which tests there are depends on what the procedures do. */
export async function crashSuite(
  { on = ({ databases }) => databases, ...options }: CrashSuiteOptions,
  procedures: readonly Procedure[],
  expectOf: (procedure: Procedure, outcome: Outcome) => void,
): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'redis-fleet-crash-'));
  const holds = new Holds(folder);
  // What children of a test fleet inherit.
  Object.assign(process.env, holds.env);
  let fleet: TestFleet | null = null;
  const leave = async (): Promise<void> => {
    await fleet?.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    fleet = await startTestFleet(options);
    const databases = on(fleet);
    const cases = await recordCases(fleet, holds, procedures, databases);
    defineTests({ fleet, holds, cases, databases }, expectOf);
  } catch (error) {
    await leave();
    throw error;
  }
  afterAll(leave);
}

interface Suite {
  readonly fleet: TestFleet;
  readonly holds: Holds;
  readonly cases: readonly Case[];
  readonly databases: readonly string[];
}

function defineTests(
  { fleet, holds, cases, databases }: Suite,
  expectOf: (procedure: Procedure, outcome: Outcome) => void,
): void {
  for (const [procedure, { expected }] of new Map(cases.map((one) => [one.procedure, one]))) {
    test(`${procedure.name}: not killed`, () => expectOf(procedure, expected));
  }

  describe('the end is the same as without the kill:', () => {
    const named = namesOf(cases);
    let findings: ReadonlyMap<Case, Finding> = new Map();

    beforeAll(async (suite) => {
      const chosen = suite.tasks.filter(({ mode }) => mode === 'run').map(({ name }) => name);
      const wanted = chosen.flatMap((name) => named.get(name) ?? []);
      const tell = (line: string): void => void process.stderr.write(`${line}\n`);
      findings = await runCases(fleet, holds, wanted, tell, databases);
    }, MATRIX_WITHIN_MS);

    for (const [name, one] of named) {
      test(name, () => {
        const finding = findings.get(one);
        if (finding === undefined) throw new Error('It was not run.');
        if ('problem' in finding) throw new Error(finding.problem);
        expect(finding.outcome).toEqual(one.expected);
      });
    }
  });
}

function namesOf(cases: readonly Case[]): ReadonlyMap<string, Case> {
  const named = new Map<string, Case>();
  for (const one of cases) {
    const name = nameOf(one);
    let unique = name;
    for (let time = 2; named.has(unique); time++) unique = `${name}, time ${time}`;
    named.set(unique, one);
  }
  return named;
}

function nameOf({ procedure, point: { activityType, at, summary, isLocal } }: Case): string {
  const where = isLocal ? 'in the workflow task' : at === 'worker' ? '' : `at the ${at}`;
  const detail = [where, summary].filter((text) => text !== '').join(', ');
  return `${procedure.name}: killed right after ${activityType}${detail === '' ? '' : ` (${detail})`}`;
}
