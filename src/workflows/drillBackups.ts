/**
 * Restores backups for real, on hosts that have room, and looks at what comes of them: the database whose last drill is
 * oldest first. No leader and no follower notices. What is wrong with one backup is recorded, and stops no other.
 */

import { isCancellation } from '@temporalio/workflow';
import type { DrillOutcome } from '../activities/drillContract.js';
import type { BackupsOf } from '../activities/restoreContract.js';
import type { PlannedDrill } from '../fleet/drills.js';
import type { DrillBackupsRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, FOR_DATA, local, onHost } from './engine/activityOptions.js';
import { failureMessage } from './engine/failures.js';
import { runRunbook } from './engine/runbook.js';

export interface DrilledBackups {
  readonly outcomes: readonly DrillOutcome[];
  readonly passed: number;
  readonly failed: number;
}

const CHECK = { name: 'check the request', does: 'Validates the argument.' };
const PLAN = {
  name: 'see which are due',
  does: 'Looks when each database was drilled last, and which hosts have room.',
};
const DRILL = {
  name: 'try out the backups',
  does: 'Restores one after the other into a process of its own, compares, measures, records, and removes it.',
};

export async function drillBackups(input: DrillBackupsRequest): Promise<RunbookResult<DrilledBackups>> {
  return runRunbook({ title: 'Try out backups' }, async (runbook) => {
    runbook.outline([CHECK, PLAN, DRILL]);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'drillBackups', request: input }),
    });
    const { drills, left, store } = await runbook.step({
      ...PLAN,
      preflight: true,
      run: () => control('which drills are due').planDrills({ request }),
    });
    runbook.subject({
      fleet,
      databases: drills.map(({ database }) => database),
      hosts: [...new Set(drills.map(({ host }) => host))],
    });
    for (const sentence of left) runbook.note(`${sentence}.`);

    const outcomes = new Map<string, DrillOutcome>();
    await runbook.step({
      ...DRILL,
      run: async () => {
        for (const planned of drills) {
          if (outcomes.has(planned.database)) continue;
          const outcome = await drillOne(planned, { store, fleet, database: planned.database });
          outcomes.set(planned.database, outcome);
          runbook.note(noteOf(outcome));
        }
      },
    });
    const all = [...outcomes.values()];
    const passed = all.filter((one) => one.how === 'drilled' && one.passed).length;
    const failed = all.filter((one) => one.how === 'drilled' && !one.passed).length;
    return { outcomes: all, passed, failed };
  });
}

async function drillOne({ database, host, needs }: PlannedDrill, of: BackupsOf): Promise<DrillOutcome> {
  let outcome: DrillOutcome;
  try {
    outcome = await onHost(host, `drill ${database}`, FOR_DATA).drillHere({ ...of, needs });
  } catch (error) {
    if (isCancellation(error)) throw error;
    // It says nothing about the backup: one that stays undrilled becomes overdue.
    return { how: 'left', database, why: failureMessage(error) };
  }
  if (outcome.how === 'drilled')
    await control(`record the drill of ${database}`).recordDrill({ drill: outcome });
  return outcome;
}

function noteOf(outcome: DrillOutcome): string {
  const { database } = outcome;
  if (outcome.how === 'left') return `${database} was not drilled: ${outcome.why}`;
  const { backup, host, seconds, keys, sampled, why } = outcome;
  if (why !== null) return `${database}: the drill FAILED, of backup ${backup} on ${host}: ${why}`;
  return `${database}: backup ${backup} is restored in ${seconds} s on ${host}, ${keys ?? 0} keys, ${sampled} of them read in full.`;
}
