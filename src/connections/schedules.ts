/** The schedules of a fleet in Temporal: reading them, and doing what a plan says. */

import { ScheduleNotFoundError, ScheduleOverlapPolicy } from '@temporalio/client';
import type { Client, ScheduleDescription, ScheduleUpdateOptions } from '@temporalio/client';
import { FleetError, messageOf } from '../fleet/errors.js';
import { CONTROL_QUEUE } from '../fleet/names.js';
import { PAUSED_BY_FILE } from '../fleet/schedules.js';
import type { FleetSchedule, KnownSchedule, ScheduleChange } from '../fleet/schedules.js';
import { subjectAttributes } from './startRunbook.js';

/** In the memo of what we made: whose it is. */
const FLEET_MEMO = 'redisFleet';

/** Those of this fleet, and those whose ids are wanted. @throws Unreachable */
export async function readSchedules(
  client: Client,
  fleet: string,
  wanted: readonly FleetSchedule[],
): Promise<readonly KnownSchedule[]> {
  try {
    const ids = new Set(wanted.map(({ id }) => id));
    for await (const { scheduleId, memo } of client.schedule.list()) {
      if (memo?.[FLEET_MEMO] === fleet) ids.add(scheduleId);
    }
    const known = await Promise.all([...ids].map((id) => readSchedule(client, id)));
    return known.filter((schedule) => schedule !== null);
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError('Unreachable', `The schedules of Temporal could not be read: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** The workflow that a schedule has started and that still runs; null: none, or no such schedule. */
export async function runningOf(client: Client, id: string): Promise<string | null> {
  try {
    const { info } = await client.schedule.getHandle(id).describe();
    return info.runningActions[0]?.workflow.workflowId ?? null;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  }
}

/** May be repeated. @throws Unreachable */
export async function changeSchedules(
  client: Client,
  fleet: string,
  changes: readonly ScheduleChange[],
): Promise<void> {
  for (const change of changes) {
    try {
      await make(client, fleet, change);
    } catch (error) {
      throw new FleetError(
        'Unreachable',
        `The schedule ${change.id} could not be written: ${messageOf(error)}. Run redis-fleet apply again; the fleet is ` +
          'stored, and no database was touched by this.',
        { cause: error },
      );
    }
  }
}

async function make(client: Client, fleet: string, change: ScheduleChange): Promise<void> {
  const handle = client.schedule.getHandle(change.id);
  switch (change.kind) {
    case 'create': {
      const { schedule, paused } = change;
      const options = optionsOf(fleet, schedule);
      await client.schedule.create({
        ...options,
        scheduleId: change.id,
        memo: { [FLEET_MEMO]: fleet },
        // The first hour without a backup would be the longest.
        state: {
          paused,
          ...(paused ? { note: PAUSED_BY_FILE } : {}),
          triggerImmediately: !paused && schedule.atOnce,
        },
      });
      return;
    }
    case 'change': {
      const { schedule, paused } = change;
      await handle.update(({ state }): ScheduleUpdateOptions => {
        const note = schedule.paused ? PAUSED_BY_FILE : paused ? (state.note ?? '') : '';
        return { ...optionsOf(fleet, schedule), state: { paused, note } };
      });
      return;
    }
    case 'remove':
      await handle.delete();
      return;
    case 'left paused':
      return;
  }
}

function optionsOf(
  fleet: string,
  { id, type, request, hosts, every, offset, jitter, catchUp }: FleetSchedule,
) {
  return {
    spec: { intervals: [{ every, offset }], jitter },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: catchUp },
    action: {
      type: 'startWorkflow' as const,
      workflowType: type,
      // Temporal adds the time of the start.
      workflowId: id,
      taskQueue: CONTROL_QUEUE,
      args: [request],
      typedSearchAttributes: subjectAttributes({ fleet, hosts }),
    },
  };
}

async function readSchedule(client: Client, id: string): Promise<KnownSchedule | null> {
  try {
    return known(await client.schedule.getHandle(id).describe());
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  }
}

function known({ scheduleId, spec, action, policies, state }: ScheduleDescription): KnownSchedule {
  const [interval] = spec.intervals ?? [];
  const request: unknown = action.args?.[0];
  return {
    id: scheduleId,
    type: action.workflowType,
    request: typeof request === 'object' && request !== null ? { ...request } : {},
    every: interval?.every ?? 0,
    offset: interval?.offset ?? 0,
    jitter: spec.jitter ?? 0,
    catchUp: policies.catchupWindow,
    paused: state.paused,
    note: state.note ?? '',
  };
}
