/** The last resort of a relocation: where no plan reaches its goal, and one would while writes wait, it asks for that. */

import type { PlanRelocationsInput } from '../activities/relocationContract.js';
import { LONGEST_PAUSE_S } from '../fleet/pausedFork.js';
import type { RelocationPlan } from '../fleet/relocation/plan.js';
import { movesOf } from '../fleet/relocation/planText.js';
import type { RelocateDatabasesRequest } from '../fleet/requests.js';
import type { ControlArgument, Decision } from '../fleet/runbook.js';
import { control } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';
import { COPY_IN_PAUSE } from './moveOutline.js';
import type { AllowedPause } from './relocationMoves.js';

/** One name for one approval: what is said here is passed on to the moves. */
const LET_WRITES_WAIT = {
  name: COPY_IN_PAUSE.name,
  does: 'Asks whether writes may wait for the copies that fit in no other way.',
};

export interface PauseOffer {
  readonly plan: RelocationPlan;
  readonly seconds: number;
}

/** null: a pause would not help, or take too long. */
export async function pauseThatHelps(
  found: RelocationPlan,
  wanted: PlanRelocationsInput,
): Promise<PauseOffer | null> {
  if (found.kind !== 'impossible') return null;
  const waits = found.would.flatMap((remedy) => (remedy.kind === 'pause writes' ? remedy.databases : []));
  const seconds = Math.max(0, ...waits.map((one) => one.seconds));
  if (seconds === 0 || seconds > LONGEST_PAUSE_S) return null;
  const plan = await control('plan with pauses').planRelocations({ ...wanted, pauseWrites: seconds });
  return plan.kind === 'plan' ? { plan, seconds } : null;
}

/** @returns null: no writes may wait, and what can be done all the same is done */
export async function askForPause(
  runbook: Runbook,
  { seconds }: PauseOffer,
  without: RelocationPlan,
  danger: string,
): Promise<AllowedPause | null> {
  return runbook.step<AllowedPause | null>({
    ...LET_WRITES_WAIT,
    approval: { danger: `No plan reaches the goal while writes go on; this one would. ${danger}` },
    ...(movesOf(without) === null
      ? {}
      : {
          skip: {
            means: 'No writes wait: what can be moved all the same is, and the goal is not reached.',
            value: null,
          },
        }),
    run: (approval) => Promise.resolve({ seconds, approval: spoken(approval) }),
  });
}

/** @param approval of the plan: it says which writes will wait */
export function pauseOf(
  { pauseWrites, approved }: RelocateDatabasesRequest,
  approval: Decision | null,
): AllowedPause | null {
  if (pauseWrites === undefined) return null;
  return { seconds: pauseWrites.seconds, approval: approved?.[LET_WRITES_WAIT.name] ?? spoken(approval) };
}

/** Where writes would wait and nobody has said that they may, there is always time to ask. */
export function mustAskForPause(plan: RelocationPlan, { approved }: RelocateDatabasesRequest): boolean {
  return pausing(plan).length > 0 && approved?.[LET_WRITES_WAIT.name] === undefined;
}

/** A sentence; empty: no writes wait. */
export function pauseSentence(plan: RelocationPlan, seconds: number): string {
  const which = pausing(plan);
  return which.length === 0
    ? ''
    : `Writes to ${which.join(', ')} also wait while it is copied, since its copy fits in no other way: for ${seconds} s at most each. `;
}

function pausing(plan: RelocationPlan): string[] {
  const moves = movesOf(plan)?.moves ?? [];
  return moves.flatMap(({ database, pauseSeconds }) => (pauseSeconds === undefined ? [] : [database]));
}

function spoken(approval: Decision | null): ControlArgument | null {
  return approval === null ? null : { by: approval.by, reason: approval.reason };
}
