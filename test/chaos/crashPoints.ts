/** Where a process can be killed: after any activity of a procedure, as the history of a run without a kill has them. */

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Client } from '@temporalio/client';
import type { DevChild } from '../../src/dev/startDev.js';
import { CONTROL_QUEUE, hostQueue } from '../../src/fleet/names.js';
import type { Parts } from './endState.js';

const WORKER = 'worker';
/** In place of an id: the first activity of that type. */
const ANY = '*';

export interface CrashPoint {
  /** Deterministic: the same activity of the same procedure has it in every run. null: the first of its type. */
  readonly activityId: string | null;
  readonly activityType: string;
  /** Whose death it takes: `worker`, or the part in the procedure of the agent's host. */
  readonly at: string;
  /** Inside a workflow task: the death of the worker is noticed by the task's timeout, not by a heartbeat. */
  readonly isLocal: boolean;
  /** What the Temporal UI shows of it, with parts in place of names; '' for local activities. */
  readonly summary: string;
}

type History = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>;
type HistoryEvent = NonNullable<History['events']>[number];

/**
 * Every activity of a run, in the order in which they were scheduled; with `afterUpdate`, those since that update.
 */
export function crashPoints(
  history: History,
  names: { readonly database: string; readonly parts: Parts },
  afterUpdate?: string,
): readonly CrashPoint[] {
  const events = history.events ?? [];
  const begin =
    afterUpdate === undefined
      ? 0
      : events.findIndex(
          (event) =>
            event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input?.name ===
            afterUpdate,
        );
  if (begin < 0) throw new Error(`The history has no update "${afterUpdate ?? ''}".`);
  const points = events.slice(begin).flatMap((event) => pointOf(event, names) ?? []);
  // The guard, which looks and changes nothing, runs before each step: once is enough.
  const isFirst = ({ isLocal, activityType }: CrashPoint, index: number): boolean =>
    !isLocal || points.findIndex((point) => point.activityType === activityType) === index;
  return points.filter(isFirst);
}

/** The first of each type, by its type alone; `without` those of some types. */
export function byType(points: readonly CrashPoint[], without: readonly string[]): readonly CrashPoint[] {
  return points
    .filter(
      ({ activityType }, index) => points.findIndex((one) => one.activityType === activityType) === index,
    )
    .filter(({ activityType }) => !without.includes(activityType))
    .map((point) => ({ ...point, activityId: null }));
}

/** Of each type only those that come at these times, counted from 1. */
export function timesOfEachType(
  points: readonly CrashPoint[],
  times: readonly number[],
): readonly CrashPoint[] {
  const seen = new Map<string, number>();
  return points.filter(({ activityType }) => {
    const time = (seen.get(activityType) ?? 0) + 1;
    seen.set(activityType, time);
    return times.includes(time);
  });
}

function pointOf(
  event: HistoryEvent,
  { database, parts }: { readonly database: string; readonly parts: Parts },
): CrashPoint | null {
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled) {
    const summary: unknown = event.userMetadata?.summary
      ? defaultPayloadConverter.fromPayload(event.userMetadata.summary)
      : '';
    return {
      activityId: scheduled.activityId ?? '',
      activityType: scheduled.activityType?.name ?? '',
      at: placeOf(scheduled.taskQueue?.name ?? '', parts),
      isLocal: false,
      summary: inParts(String(summary), database, parts),
    };
  }
  const marker = event.markerRecordedEventAttributes;
  const payload = marker?.details?.['data']?.payloads?.[0];
  if (marker?.markerName !== 'core_local_activity' || !payload) return null;
  const local = defaultPayloadConverter.fromPayload<{ activity_id: string; activity_type: string }>(payload);
  return {
    activityId: local.activity_id,
    activityType: local.activity_type,
    at: WORKER,
    isLocal: true,
    summary: '',
  };
}

/** Whether the first run of the activity was lost, and it was run again. */
export function wasRunAgain(history: History, { activityId, activityType, isLocal }: CrashPoint): boolean {
  const events = history.events ?? [];
  if (isLocal) return events.some((event) => event.workflowTaskTimedOutEventAttributes);
  const scheduled = new Set(
    events.flatMap(({ activityTaskScheduledEventAttributes: one, eventId }) =>
      one?.activityType?.name === activityType && (activityId === null || one.activityId === activityId)
        ? [String(eventId)]
        : [],
    ),
  );
  return events.some(
    ({ activityTaskStartedEventAttributes: started }) =>
      started && scheduled.has(String(started.scheduledEventId)) && (started.attempt ?? 0) > 1,
  );
}

/** The child of `redis-fleet dev` that runs it for a database with these parts. */
export function processOf({ at }: CrashPoint, parts: Parts): DevChild {
  if (at === WORKER) return 'worker';
  const part = parts[at];
  if (part === undefined) throw new Error(`No host has the part "${at}".`);
  return `agent:${part.host}`;
}

function placeOf(taskQueue: string, parts: Parts): string {
  if (taskQueue === CONTROL_QUEUE) return WORKER;
  const found = Object.entries(parts).find(([, { host }]) => hostQueue(host) === taskQueue);
  if (found) return found[0];
  throw new Error(`An activity ran on ${taskQueue}, whose host has no part in the procedure.`);
}

function inParts(summary: string, database: string, parts: Parts): string {
  return Object.entries(parts).reduce(
    (text, [part, { host, address, port }]) =>
      text.replaceAll(` (${address}:${port})`, '').replaceAll(host, `the ${part}'s host`),
    summary.replaceAll(database, 'the database'),
  );
}

/** Holds activities between their work and its record. */
export class Holds {
  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
  }

  /** For the workers and agents of a fleet. */
  get env(): NodeJS.ProcessEnv {
    const preload = pathToFileURL(path.join(import.meta.dirname, 'crashPoint.mjs')).href;
    return {
      NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${preload}`.trim(),
      REDIS_FLEET_TEST_CRASH_POINTS: this.folder,
    };
  }

  arm(
    workflowId: string,
    { activityId, activityType }: Pick<CrashPoint, 'activityId' | 'activityType'>,
  ): void {
    writeFileSync(this.file(workflowId, 'armed'), `${activityId ?? ANY} ${activityType}`);
  }

  isReached(workflowId: string): boolean {
    return existsSync(this.file(workflowId, 'reached'));
  }

  /** What is held goes on. */
  forget(workflowId: string): void {
    for (const state of ['armed', 'reached'] as const) rmSync(this.file(workflowId, state), { force: true });
  }

  private file(workflowId: string, state: 'armed' | 'reached'): string {
    return path.join(this.folder, `${encodeURIComponent(workflowId)}.${state}`);
  }
}
