/** Sends a control message to a runbook, by update: it is refused with a reason, or it holds. */

import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { ControlArgument, ControlMessage } from '../fleet/runbook.js';
import { innermost, isNotFound, unknownRunbook } from './runbookState.js';

const UPDATE_MS = 20_000;

/** @throws NotFound; Unreachable when no worker answers */
export async function moveRunbook(
  client: Client,
  workflowId: string,
  message: ControlMessage,
  argument: ControlArgument,
): Promise<{ readonly accepted: true } | { readonly accepted: false; readonly why: string }> {
  const handle = client.workflow.getHandle(workflowId);
  try {
    await client.withDeadline(Date.now() + UPDATE_MS, () =>
      handle.executeUpdate(message, { args: [argument] }),
    );
    return { accepted: true };
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError)
      return { accepted: false, why: messageOf(innermost(error)) };
    if (isNotFound(error)) return await closedOrUnknown(client, workflowId, message, error);
    throw new FleetError(
      'Unreachable',
      `No control worker answered within ${String(UPDATE_MS / 1_000)} s, so it is not known whether ${workflowId} took ` +
        `"${message}". Start one with redis-fleet worker, then look: redis-fleet runbook show ${workflowId}`,
      { cause: error },
    );
  }
}

/** Temporal says "not found" of an ended workflow as well. */
async function closedOrUnknown(
  client: Client,
  workflowId: string,
  message: ControlMessage,
  cause: unknown,
): Promise<{ readonly accepted: false; readonly why: string }> {
  const description = await client.workflow
    .getHandle(workflowId)
    .describe()
    .catch(() => null);
  if (description === null) throw unknownRunbook(workflowId, cause);
  const ended = description.closeTime === undefined ? '' : ` at ${description.closeTime.toISOString()}`;
  return {
    accepted: false,
    why: `"${message}" makes no sense: ${workflowId} ended${ended}. See how: redis-fleet runbook show ${workflowId}`,
  };
}
