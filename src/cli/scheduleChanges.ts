/** What plan and apply say and do about schedules. */

import type { Client } from '@temporalio/client';
import { messageOf } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { planSchedules, schedulesOf } from '../fleet/schedules.js';
import type { ScheduleChange } from '../fleet/schedules.js';
import { withTemporal } from './connect.js';
import type { CliContext } from './context.js';

/** A sentence where Temporal could not be asked. */
export type PlannedSchedules = readonly ScheduleChange[] | { readonly unknown: string };

/** Changes nothing. */
export async function plannedSchedules(context: CliContext, fleet: Fleet): Promise<PlannedSchedules> {
  try {
    return await withTemporal(context, (client) => plannedChanges(client, fleet));
  } catch (error) {
    return { unknown: messageOf(error) };
  }
}

/** @returns what was done @throws Unreachable, WrongCredentials */
export async function applySchedules(context: CliContext, fleet: Fleet): Promise<readonly ScheduleChange[]> {
  const { changeSchedules } = await import('../connections/schedules.js');
  return await withTemporal(context, async (client) => {
    const changes = await plannedChanges(client, fleet);
    await changeSchedules(client, fleet.name, changes);
    return changes;
  });
}

async function plannedChanges(client: Client, fleet: Fleet): Promise<readonly ScheduleChange[]> {
  const { readSchedules } = await import('../connections/schedules.js');
  const wanted = schedulesOf(fleet);
  return planSchedules(wanted, await readSchedules(client, fleet.name, wanted));
}

const MARKS: Readonly<Record<ScheduleChange['kind'], string>> = {
  create: '+',
  change: '+',
  remove: '-',
  'left paused': 'i',
};

export function scheduleLines(planned: PlannedSchedules): readonly string[] {
  if ('unknown' in planned) return [`  i schedules  nobody can say what they are: ${planned.unknown}`];
  const width = Math.max(0, ...planned.map(({ id }) => id.length));
  return planned.map(({ kind, id, text }) => `  ${MARKS[kind]} schedule ${id.padEnd(width)}  ${text}`);
}

/** `[{"kind","id","text"}]`, or `{"unknown":"…"}` */
export function schedulesJson(planned: PlannedSchedules): unknown {
  return 'unknown' in planned ? planned : planned.map(({ kind, id, text }) => ({ kind, id, text }));
}
