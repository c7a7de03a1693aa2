/** How a promotion ended, as far as a watch has to know. */

import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { StartedRunbook } from '../../connections/startRunbook.js';
import { messageOf } from '../../fleet/errors.js';

export interface PromotionEnd {
  /** Why the whole of it failed. */
  readonly problem: string | null;
  /** Why one database was not promoted. */
  readonly refusals: ReadonlyMap<string, string>;
  /** A person ended it: that was meant. */
  readonly byPerson: boolean;
}

const RETRY_MS = 1_000;

/** Waits, over outages of Temporal. null: `signal` aborted first. */
export async function awaitEnd(
  temporal: Client,
  { workflowId, runId }: StartedRunbook,
  signal: AbortSignal,
): Promise<PromotionEnd | null> {
  const stopped = (): boolean => signal.aborted;
  while (!stopped()) {
    try {
      const handle = temporal.workflow.getHandle(workflowId, runId);
      const result: unknown = await temporal.withAbortSignal(signal, () => handle.result());
      return { problem: null, refusals: refusalsOf(result), byPerson: false };
    } catch (error) {
      if (error instanceof WorkflowFailedError) return failedEnd(error.cause);
      if (error instanceof WorkflowNotFoundError) {
        return { problem: 'Temporal does not know it any more.', refusals: new Map(), byPerson: false };
      }
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return null;
}

function failedEnd(cause: Error | undefined): PromotionEnd {
  const aborted = cause instanceof ApplicationFailure && cause.type === 'RunbookAborted';
  const byPerson = aborted || cause instanceof CancelledFailure;
  return { problem: cause === undefined ? 'It failed.' : messageOf(cause), refusals: new Map(), byPerson };
}

/** Every `{"database","outcome":"refused","why"}` in a result. */
function refusalsOf(value: unknown, depth = 4): Map<string, string> {
  const found = new Map<string, string>();
  if (typeof value !== 'object' || value === null || depth === 0) return found;
  const field = (name: string): unknown => Reflect.get(value, name);
  const database = field('database');
  if (field('outcome') === 'refused' && typeof database === 'string') {
    found.set(database, String(field('why')));
    return found;
  }
  for (const inner of Object.values(value)) {
    for (const [name, why] of refusalsOf(inner, depth - 1)) found.set(name, why);
  }
  return found;
}
