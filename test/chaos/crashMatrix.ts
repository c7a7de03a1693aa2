/**
 * For every activity of every procedure: a run in which the process dies right after the activity's work and before its
 * completion is recorded. Several runs, on databases of their own, share one wave: each is held at its point, then their
 * processes are killed together, because what a crash costs is mostly the wait for its heartbeat timeout.
 */

import type { DevChild } from '../../src/dev/startDev.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { processOf, type CrashPoint, type Holds } from './crashPoints.js';
import { Run, type Outcome, type Procedure } from './procedure.js';

export interface Case {
  readonly procedure: Procedure;
  readonly point: CrashPoint;
  /** The run without a kill. */
  readonly expected: Outcome;
  /** Its host's only right to fork: it has it while it is held, or has had it by then. */
  readonly permit: 'has' | 'had' | 'never';
}

export type Finding =
  | { readonly outcome: Outcome }
  | {
      readonly problem: string;
      /** Nothing was killed: activities that run side by side came in another order than in the run without a kill. */
      readonly missed: boolean;
    };

interface Placed {
  readonly wanted: Case;
  readonly run: Run;
}

const REACHED_WITHIN_MS = 150_000;
/** How often a case is run until it comes to its point. */
const MOST_TRIES = 4;
const ENDS_WITHIN_MS = 240_000;
/** An agent takes eight activities at a time. */
const MOST_HELD_AT_AN_AGENT = 5;
/** They fork one after the other before the first of them can be killed. */
const MOST_FORKS_ON_A_HOST = 3;

/** Runs each procedure once without a kill, all at the same time, and derives the cases from their histories. */
export async function recordCases(
  fleet: TestFleet,
  holds: Holds,
  procedures: readonly Procedure[],
  databases = fleet.databases,
): Promise<readonly Case[]> {
  const runs = procedures.map((procedure, index) => new Run(fleet, procedure, databaseAt(databases, index)));
  await settled(runs.map((run) => run.prepare()));
  for (const { procedure, heldId } of runs) {
    const { steersWhileHeldAfter } = procedure;
    if (steersWhileHeldAfter !== undefined)
      holds.arm(heldId, { activityId: null, activityType: steersWhileHeldAfter });
  }
  await settled(runs.map((run) => run.start()));
  await settled(
    runs.map(async (run) => {
      await run.steer(holds);
      holds.forget(run.heldId);
    }),
  );
  await settled(runs.map((run) => run.end(ENDS_WITHIN_MS)));
  const cases: Case[] = [];
  for (const run of runs) {
    const { killedAfter } = run.procedure;
    const all = await run.crashPoints();
    const points = all.filter(({ activityType }) => killedAfter?.has(activityType) ?? true);
    const expected = await run.outcome();
    if (points.length === 0)
      throw new Error(`${run.procedure.name} has no activity after which to kill. ${await run.whereItIs()}`);
    const taken = points.findIndex(({ activityType }) => activityType === 'acquireForkPermit');
    const given = points.findIndex(({ activityType }) => activityType === 'releaseForkPermit');
    // What came before the update is none of the points.
    const before = run.procedure.update === undefined ? 'never' : 'had';
    cases.push(
      ...points.map((point, index): Case => ({
        procedure: run.procedure,
        point,
        expected,
        permit: taken < 0 ? before : index < taken ? 'never' : index < given ? 'has' : 'had',
      })),
    );
  }
  return cases;
}

/** Runs all cases. A database on which one went wrong is not used again. */
export async function runCases(
  fleet: TestFleet,
  holds: Holds,
  cases: readonly Case[],
  tell: (line: string) => void,
  databases = fleet.databases,
): Promise<ReadonlyMap<Case, Finding>> {
  const findings = new Map<Case, Finding>();
  const usable = new Set(databases);
  const tries = new Map<Case, number>();
  let left = cases;
  while (left.length > 0) {
    const wave = nextWave(fleet, usable, left);
    if (wave.length === 0) break;
    left = left.filter((one) => !wave.some(({ wanted }) => wanted === one));
    const begun = performance.now();
    const found = await runWave(fleet, holds, wave);
    const seconds = Math.round((performance.now() - begun) / 1000);
    tell(`crash matrix: ${wave.length} cases in ${seconds} s, ${left.length} left`);
    for (const [placed, finding] of found) {
      const { wanted } = placed;
      const tried = (tries.get(wanted) ?? 0) + 1;
      tries.set(wanted, tried);
      if ('problem' in finding && finding.missed && tried < MOST_TRIES) {
        left = [...left, wanted];
        continue;
      }
      findings.set(wanted, finding);
      if ('problem' in finding) usable.delete(placed.run.database);
    }
  }
  for (const one of left)
    findings.set(one, { problem: 'No usable database was left for it.', missed: false });
  return findings;
}

async function runWave(
  fleet: TestFleet,
  holds: Holds,
  wave: readonly Placed[],
): Promise<ReadonlyMap<Placed, Finding>> {
  const problems = new Map<Placed, { readonly problem: string; readonly missed: boolean }>();
  const wrong = (placed: Placed, error: unknown): void =>
    void problems.set(placed, { problem: String(error), missed: error instanceof Missed });
  const each = async (step: (placed: Placed) => Promise<void> | void): Promise<void> => {
    await Promise.all(
      wave.map(async (placed) => {
        if (problems.has(placed)) return;
        try {
          await step(placed);
        } catch (error) {
          wrong(placed, error);
        }
      }),
    );
  };
  await each(({ run }) => run.prepare());
  await each(({ run, wanted }) => holds.arm(run.heldId, wanted.point));
  const started = new Set<Placed>();
  await each(async (placed) => {
    await placed.run.start();
    started.add(placed);
  });
  await each(async ({ run, wanted: { point, procedure } }) => {
    const steered = procedure.steersAfterKill ? [] : [run.steer(holds)];
    await Promise.all([...steered, untilReached(holds, run, point)]);
  });
  const doomed = new Set<DevChild>(
    wave
      .filter((placed) => !problems.has(placed))
      .map(({ wanted, run }) => processOf(wanted.point, run.parts)),
  );
  await Promise.all([...doomed].map((child) => fleet.dev.kill(child)));
  await each(async ({ run, wanted: { procedure } }) => {
    if (procedure.steersAfterKill) await run.steer(holds);
  });
  // Also those that never came to their point: they must not be in the way of the next wave.
  await settled(
    [...started].map(async (placed) => {
      holds.forget(placed.run.heldId);
      try {
        await placed.run.end(ENDS_WITHIN_MS);
      } catch (error) {
        if (!problems.has(placed)) wrong(placed, error);
      }
    }),
  );
  const findings = new Map<Placed, Finding>();
  await each(async (placed) => {
    const outcome = await placed.run.outcome();
    if (!(await placed.run.wasRunAgain(placed.wanted.point)))
      throw new Error('The kill did not cost a completion: the activity was run only once.');
    findings.set(placed, { outcome });
  });
  await Promise.all(wave.map(({ run }) => run.leave()));
  for (const [placed, problem] of problems) findings.set(placed, problem);
  return findings;
}

async function untilReached(holds: Holds, run: Run, { activityType }: CrashPoint): Promise<void> {
  let looks = 0;
  try {
    await waitFor(
      async () => {
        if (holds.isReached(run.heldId)) return 'reached';
        return ++looks % LOOKS_UNTIL_ASKED === 0 && (await run.hasEnded()) ? 'missed' : null;
      },
      {
        deadlineMs: REACHED_WITHIN_MS,
        what: `${activityType} of ${run.workflowId} to do its work`,
        everyMs: 20,
      },
    );
  } catch (error) {
    throw new Error(`${String(error)} ${await run.whereItIs()}`, { cause: error });
  }
  if (!holds.isReached(run.heldId))
    throw new Missed(`${run.workflowId} ended without its ${activityType} ${await run.whereItIs()}`);
}

const LOOKS_UNTIL_ASKED = 50;

class Missed extends Error {}

/** As many cases as can share one kill, each on a database of its own. */
function nextWave(fleet: TestFleet, databases: Iterable<string>, cases: readonly Case[]): readonly Placed[] {
  // A local activity may be held for seconds only: those do not wait for others that come later.
  const candidates = new Set(cases.filter(({ point }) => point.isLocal === cases[0]?.point.isLocal));
  const wave: Placed[] = [];
  const heldAt = new Map<DevChild, number>();
  const forksOn = new Map<string, number>();
  for (const database of databases) {
    for (const wanted of candidates) {
      const parts = wanted.procedure.parts(fleet, database);
      const child = processOf(wanted.point, parts);
      const held = (heldAt.get(child) ?? 0) + 1;
      const forking = wanted.permit === 'never' ? '' : (parts[wanted.procedure.forksOn ?? '']?.host ?? '');
      // Who is held with the permit in hand lets nobody else fork on that host.
      const most = wanted.procedure.mostForks ?? MOST_FORKS_ON_A_HOST;
      const forks = (forksOn.get(forking) ?? 0) + (wanted.permit === 'has' ? most : 1);
      if (child !== 'worker' && held > MOST_HELD_AT_AN_AGENT) continue;
      if (forking !== '' && forks > most) continue;
      heldAt.set(child, held);
      forksOn.set(forking, forks);
      candidates.delete(wanted);
      wave.push({ wanted, run: new Run(fleet, wanted.procedure, database) });
      break;
    }
  }
  return wave;
}

function databaseAt(databases: readonly string[], index: number): string {
  const database = databases[index];
  if (database === undefined) throw new Error(`${index + 1} procedures need as many databases.`);
  return database;
}

/** Waits for all, then fails with the first failure: nothing goes on behind the back of what follows. */
async function settled(promises: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'rejected') throw result.reason;
  }
}
