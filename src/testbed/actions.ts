/** What a run cost in Temporal's actions, which Temporal Cloud bills. */

import type { Client } from '@temporalio/client';

type History = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>;

export interface Actions {
  readonly start: number;
  readonly activities: number;
  /** All local activities of one workflow task are one. */
  readonly localActivities: number;
  readonly timers: number;
  readonly searchAttributes: number;
  readonly messages: number;
  /** Those that reach the server: one for every full `heartbeatEveryMs` that an activity lasted. */
  readonly heartbeats: number;
  readonly total: number;
}

/** @param start what the start cost: 1, or 3 by a schedule */
export function actionsOf(
  history: History,
  { start, heartbeatEveryMs }: { readonly start: number; readonly heartbeatEveryMs: number },
): Actions {
  const events = history.events ?? [];
  let attempts = 0;
  let heartbeats = 0;
  const tasksWithLocal = new Set<string>();
  const counted = { timers: 0, searchAttributes: 0, messages: 0 };
  const startedAt = new Map<string, number>();
  const end = (id: string | undefined, at: number): void => {
    const since = startedAt.get(id ?? '');
    if (since !== undefined) heartbeats += Math.floor((at - since) / heartbeatEveryMs);
  };
  for (const event of events) {
    const at = Number(event.eventTime?.seconds ?? 0) * 1_000 + (event.eventTime?.nanos ?? 0) / 1e6;
    const started = event.activityTaskStartedEventAttributes;
    if (started) {
      attempts += started.attempt ?? 1;
      startedAt.set(String(event.eventId), at);
    }
    const ended =
      event.activityTaskCompletedEventAttributes ??
      event.activityTaskFailedEventAttributes ??
      event.activityTaskTimedOutEventAttributes;
    if (ended) end(String(ended.startedEventId), at);
    const marker = event.markerRecordedEventAttributes;
    if (marker?.markerName === 'core_local_activity')
      tasksWithLocal.add(String(marker.workflowTaskCompletedEventId));
    if (event.timerStartedEventAttributes) counted.timers += 1;
    if (event.upsertWorkflowSearchAttributesEventAttributes) counted.searchAttributes += 1;
    if (
      event.workflowExecutionSignaledEventAttributes ??
      event.workflowExecutionUpdateAcceptedEventAttributes
    )
      counted.messages += 1;
  }
  const { timers, searchAttributes, messages } = counted;
  const localActivities = tasksWithLocal.size;
  const total = start + attempts + localActivities + timers + searchAttributes + messages + heartbeats;
  return {
    start,
    activities: attempts,
    localActivities,
    timers,
    searchAttributes,
    messages,
    heartbeats,
    total,
  };
}
