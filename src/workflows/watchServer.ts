/**
 * Watches the leaders of one server for ever: one long activity looks at them and calls for promotions, and this
 * workflow sees to it that some worker always runs it. It begins a new run now and then, so that its history stays
 * short. A cancellation ends it; then no failure on that server is noticed any more.
 */

import { defineSearchAttributeKey } from '@temporalio/common';
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { ControlActivities } from '../activities/contracts.js';
import { CONTROL_QUEUE, SEARCH_ATTRIBUTES } from '../fleet/names.js';
import type { WatchServerRequest } from '../fleet/requests.js';
import { WATCH_SIGNAL, watchDetails } from '../fleet/watchView.js';
import type { WatchView } from '../fleet/watchView.js';
import { local } from './engine/activityOptions.js';

const FLEET = defineSearchAttributeKey('RedisFleet', SEARCH_ATTRIBUTES.RedisFleet);
const SERVER = defineSearchAttributeKey('RedisServer', SEARCH_ATTRIBUTES.RedisServer);

export const watchQuery = defineQuery<WatchView | null>('watch');
export const seenSignal = defineSignal<[WatchView]>(WATCH_SIGNAL);

const activities = proxyActivities<ControlActivities>({
  taskQueue: CONTROL_QUEUE,
  summary: 'watch the leaders',
  // It ends by itself long before.
  startToCloseTimeout: '24 hours',
  // A worker that dies is replaced within seconds: meanwhile nobody would notice a failure.
  heartbeatTimeout: '3 seconds',
  retry: { initialInterval: 100, backoffCoefficient: 2, maximumInterval: 5_000 },
  // The next run begins to watch at once; the activity ends when it hears of it.
  cancellationType: 'TRY_CANCEL',
});

export async function watchServer(input: WatchServerRequest): Promise<void> {
  let view: WatchView | null = null;
  setHandler(watchQuery, () => view, {
    description: 'What the watch saw at its last change that a person cares for, as JSON; null: nothing yet.',
  });
  setHandler(
    seenSignal,
    (seen) => {
      view = seen;
      setCurrentDetails(watchDetails(seen));
    },
    { description: 'The watch itself tells what it sees. Nobody else needs to send this.' },
  );
  setCurrentDetails('### Watch of a server\n\n**It begins** as soon as a control worker takes it.\n');

  const { fleet, request } = await checked(input);
  subject(fleet, request.server);

  const scope = new CancellationScope();
  const watching = scope.run(() => activities.watchLeaders({ server: request.server }));
  await Promise.race([watching, condition(() => workflowInfo().continueAsNewSuggested)]);
  scope.cancel();
  try {
    await watching;
  } catch (error) {
    // Our own cancellation; one from outside has ended this function above.
    if (!isCancellation(error)) throw error;
  }
  await continueAsNew<typeof watchServer>(request);
}

async function checked(input: WatchServerRequest): Promise<{ fleet: string; request: WatchServerRequest }> {
  try {
    return await local().checkRequest({ type: 'watchServer', request: input });
  } catch (error) {
    if (!(error instanceof ActivityFailure) || !(error.cause instanceof ApplicationFailure)) throw error;
    const { message, type } = error.cause;
    throw ApplicationFailure.nonRetryable(message, type);
  }
}

/** What was set at its start costs nothing. */
function subject(fleet: string, server: string): void {
  const known = workflowInfo().typedSearchAttributes;
  if (known.get(FLEET) === fleet && known.get(SERVER)?.join() === server) return;
  upsertSearchAttributes([
    { key: FLEET, value: fleet },
    { key: SERVER, value: [server] },
  ]);
}
