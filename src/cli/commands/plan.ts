/** `redis-fleet plan`: what apply would do. Changes nothing. */

import { planFleet } from '../../fleet/plan.js';
import { effectOf } from '../../fleet/planChange.js';
import type { Plan } from '../../fleet/planChange.js';
import { planSummary, planText } from '../../fleet/planText.js';
import type { Fleet } from '../../fleet/fleet.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul } from '../connect.js';
import { fleetOfFile, readKnownFleet } from '../fleetInput.js';
import type { KnownFleet } from '../fleetInput.js';
import { plannedSchedules, scheduleLines, schedulesJson } from '../scheduleChanges.js';

export interface PlanOptions {
  readonly file?: string;
  readonly json?: boolean;
}

export async function planCommand(
  context: CliContext,
  file: string | undefined,
  options: PlanOptions,
): Promise<ExitCode> {
  const desired = await fleetOfFile(context, file, options.file);
  const known = await withConsul(context, (consul) => readKnownFleet(consul, desired.name));
  const plan = planOf(desired, known);
  const schedules = await plannedSchedules(context, desired);
  if (options.json) printJson(context, { ...planJson(plan), schedules: schedulesJson(schedules) });
  else {
    printLine(context, planText(plan));
    const lines = scheduleLines(schedules);
    if (lines.length > 0) printLine(context, ['', ...lines].join('\n'));
  }
  return isRefused(plan) ? NOT_WELL : WELL;
}

export function planOf(desired: Fleet, known: KnownFleet): Plan {
  const { applied, records, unreadable, reports } = known;
  return planFleet({
    desired,
    applied: applied?.fleet ?? null,
    records,
    unreadable,
    reports,
    now: Date.now(),
  });
}

export function isRefused(plan: Plan): boolean {
  return plan.changes.some((change) => effectOf(change) === 'refuse');
}

/** `{"fleet","stores","summary","changes":[{"effect","kind",…}],"warnings":[…]}`; `plan` adds `schedules`. */
export function planJson(plan: Plan): Record<string, unknown> {
  return {
    fleet: plan.fleet,
    stores: plan.stores,
    summary: planSummary(plan),
    changes: plan.changes.map((change) => ({ effect: effectOf(change), ...change })),
    warnings: plan.warnings,
  };
}
