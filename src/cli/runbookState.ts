/** Asks a runbook for its state: of a running one by query, of an ended one by what it left behind. */

import { WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import { grpcCode } from '../connections/temporal.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { RunbookResult, RunbookState } from '../fleet/runbook.js';

const QUERY_MS = 10_000;

/** gRPC's status codes. */
const NOT_FOUND = 5;
const UNAVAILABLE = 14;

export type RunbookEnd =
  | { readonly how: 'well'; readonly result: unknown; readonly runbook: RunbookState | null }
  /** `problem` is a sentence. */
  | {
      readonly how: 'failed';
      readonly problem: string;
      readonly kind: string;
      readonly runbook: RunbookState | null;
    };

export interface RunbookName {
  readonly workflowId: string;
  readonly runId?: string;
}

/** @throws NotFound; Unreachable when no worker answers */
export async function queryRunbook(
  client: Client,
  { workflowId, runId }: RunbookName,
): Promise<RunbookState> {
  try {
    return await client.withDeadline(Date.now() + QUERY_MS, () =>
      client.workflow.getHandle(workflowId, runId).query<RunbookState>('runbook'),
    );
  } catch (error) {
    if (isNotFound(error)) throw unknownRunbook(workflowId, error);
    if (grpcCode(error) === UNAVAILABLE) throw temporalLost(workflowId, error);
    throw new FleetError(
      'Unreachable',
      `No control worker answered for ${workflowId}: ${messageOf(innermost(error))}. It goes on as soon as one ` +
        `runs; start it: redis-fleet worker`,
      { cause: error },
    );
  }
}

/** Waits for the end of a runbook. @throws NotFound, Unreachable */
export async function runbookEnd(client: Client, { workflowId, runId }: RunbookName): Promise<RunbookEnd> {
  try {
    const value: unknown = await client.workflow.getHandle(workflowId, runId).result();
    const { result, runbook } = asResult(value);
    return { how: 'well', result, runbook };
  } catch (error) {
    if (error instanceof WorkflowFailedError) return failedEnd(workflowId, error.cause ?? error);
    if (isNotFound(error)) throw unknownRunbook(workflowId, error);
    throw temporalLost(workflowId, error);
  }
}

export function unknownRunbook(workflowId: string, cause?: unknown): FleetError {
  return new FleetError(
    'NotFound',
    `Temporal knows no runbook ${workflowId}. See which there are with: redis-fleet runbook list`,
    { cause },
  );
}

export function temporalLost(workflowId: string, cause: unknown): FleetError {
  return new FleetError(
    'Unreachable',
    `Temporal did not answer for ${workflowId} (${messageOf(innermost(cause))}); the runbook itself is safe there. ` +
      `Look again with: redis-fleet runbook show ${workflowId}`,
    { cause },
  );
}

export function isNotFound(error: unknown): boolean {
  return error instanceof WorkflowNotFoundError || grpcCode(error) === NOT_FOUND;
}

export function innermost(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof Error ? innermost(error.cause) : error;
}

function failedEnd(workflowId: string, cause: Error): RunbookEnd {
  const failed = (problem: string, kind: string, runbook: RunbookState | null = null): RunbookEnd => ({
    how: 'failed',
    problem,
    kind,
    runbook,
  });
  if (cause instanceof ApplicationFailure) {
    return failed(cause.message, cause.type ?? 'Failed', cause.details?.find(isState) ?? null);
  }
  if (cause instanceof CancelledFailure) {
    return failed(
      `${workflowId} was cancelled from outside.`,
      'Cancelled',
      cause.details.find(isState) ?? null,
    );
  }
  if (cause instanceof TerminatedFailure) {
    const problem = `${workflowId} was terminated from outside, so nothing that it did was undone. Look with: redis-fleet status`;
    return failed(problem, 'Terminated');
  }
  if (cause instanceof TimeoutFailure) return failed(`${workflowId} ran out of time.`, 'TimedOut');
  return failed(messageOf(cause), 'Failed');
}

function asResult(value: unknown): { result: unknown; runbook: RunbookState | null } {
  if (typeof value !== 'object' || value === null || !('runbook' in value))
    return { result: value, runbook: null };
  const { runbook, result } = value as RunbookResult<unknown>;
  return { result, runbook: isState(runbook) ? runbook : null };
}

function isState(value: unknown): value is RunbookState {
  return (
    typeof value === 'object' &&
    value !== null &&
    'workflowId' in value &&
    'steps' in value &&
    Array.isArray(value.steps)
  );
}
