/** Follows a runbook until it ends, or until it waits for a person. */

import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { FleetError } from '../fleet/errors.js';
import type { RunbookState } from '../fleet/runbook.js';
import { nextMove } from '../fleet/runbookMoves.js';
import { progressLines } from './runbookProgress.js';
import { queryRunbook, runbookEnd } from './runbookState.js';
import type { RunbookEnd, RunbookName } from './runbookState.js';

/** Queries are not free: a runbook that does nothing new is asked less and less often. */
const POLL_MS = 250;
const LONGEST_POLL_MS = 2_000;

export type Followed =
  | RunbookEnd
  /** It is stuck, or waits for approval: a person has to move it on. */
  | { readonly how: 'waits'; readonly runbook: RunbookState }
  /** `signal` aborted; the runbook goes on. */
  | { readonly how: 'left'; readonly runbook: RunbookState | null };

export interface FollowOptions {
  /** One line a change, e.g. `[3/12] check the hosts: done in 0.2 s`. */
  readonly onLine?: (line: string) => void;
  readonly onState?: (state: RunbookState) => void;
  readonly signal?: AbortSignal;
}

/** @throws NotFound, Unreachable (Temporal is lost; a worker that is away is waited for) */
export async function followRunbook(
  client: Client,
  name: RunbookName,
  { onLine, onState, signal }: FollowOptions = {},
): Promise<Followed> {
  const ended = new AbortController();
  // What is still asked when nobody waits any more must be called off: a closed connection would tear the process down.
  const noMore = new AbortController();
  // One listener for each question: that is no leak.
  setMaxListeners(0, noMore.signal);
  const finish = client
    .withAbortSignal(noMore.signal, () => runbookEnd(client, name))
    .finally(() => {
      ended.abort();
    });
  // Looked at below; a rejection meanwhile is not unhandled.
  finish.catch(() => undefined);
  const asked = new Set<Promise<unknown>>([finish]);
  let seen: RunbookState | null = null;
  let pause = POLL_MS;
  const show = (state: RunbookState): void => {
    const lines = progressLines(seen, state);
    for (const line of lines) onLine?.(line);
    if (lines.length > 0) pause = POLL_MS;
    seen = state;
    onState?.(state);
  };
  let silent = false;
  const leave = AbortSignal.any([ended.signal, ...(signal === undefined ? [] : [signal])]);
  const left = aborted(leave);
  try {
    while (!leave.aborted) {
      const question = client.withAbortSignal(noMore.signal, () => look(client, name));
      asked.add(question);
      const state = await Promise.race([question, left]);
      if (state !== null) asked.delete(question);
      if (state instanceof FleetError) {
        // The end says it better; otherwise once is enough.
        if (!silent && !isAborted(leave)) onLine?.(state.message);
        silent = true;
      } else if (state !== null) {
        silent = false;
        show(state);
        if (nextMove(state) !== null) return { how: 'waits', runbook: state };
      }
      await Promise.race([sleep(pause), left]);
      pause = Math.min(pause * 1.25, LONGEST_POLL_MS);
    }
    if (!isAborted(ended.signal)) return { how: 'left', runbook: seen };
    const end = await finish;
    if (end.runbook !== null) show(end.runbook);
    return end;
  } finally {
    noMore.abort();
    await Promise.allSettled(asked);
  }
}

/** The error, where nobody answers now. */
async function look(client: Client, name: RunbookName): Promise<RunbookState | FleetError> {
  try {
    return await queryRunbook(client, name);
  } catch (error) {
    if (error instanceof FleetError) return error;
    throw error;
  }
}

async function aborted(signal: AbortSignal): Promise<null> {
  if (signal.aborted) return null;
  return await new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
