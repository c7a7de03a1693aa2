/** The calling workflow as an owner, and whether other owners still live. */

import { activityInfo } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { OwnerState } from '../fleet/ownership.js';
import type { Operation, Urgency } from '../fleet/record.js';
import type { Author } from '../fleet/recordChanges.js';

/** The workflow that runs this activity. `urgency` matters only to a claim. */
export function callingWorkflow(urgency: Urgency = 'routine'): Author {
  const { workflowExecution, workflowType } = activityInfo();
  if (!workflowExecution || !workflowType) {
    throw new FleetError(
      'InvalidRequest',
      'Only a workflow can own a database: start one of the procedures.',
    );
  }
  const at = new Date().toISOString();
  const { workflowId, runId } = workflowExecution;
  return { at, operation: { type: workflowType, workflowId, runId, urgency, since: at } };
}

export type AskOwnerState = (owner: Operation) => Promise<OwnerState>;

/** Asks Temporal about exactly that run. @throws FleetError Unreachable: then nobody is declared dead */
export function askTemporal(client: Client): AskOwnerState {
  return async ({ workflowId, runId }) => {
    try {
      const { status } = await client.workflow.getHandle(workflowId, runId).describe();
      return status.name === 'RUNNING' || status.name === 'PAUSED' ? 'running' : 'closed';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'gone';
      throw new FleetError(
        'Unreachable',
        `Temporal could not say whether ${workflowId} still runs: ${messageOf(error)}. Nothing was taken from it.`,
        { cause: error },
      );
    }
  };
}
