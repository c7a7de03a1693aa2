/**
 * Hands back to Temporal what an agent was at when it ended: it is given out again at once, and not only when its
 * heartbeat timeout has passed.
 */

import { ApplicationFailure } from '@temporalio/common';
import type { Client } from '@temporalio/client';
import type { Log } from '../connections/log.js';
import { messageOf } from '../fleet/errors.js';
import { interruptedBackups } from '../host/backupState.js';

/** Call it before this agent takes anything: what is noted then is nobody's work any more. */
export async function handBackInterrupted(client: Client, data: string, log: Log): Promise<void> {
  for (const activity of await interruptedBackups(data)) {
    const { workflowId } = activity;
    try {
      await client.activity.fail(
        activity,
        ApplicationFailure.create({
          type: 'AgentRestarted',
          message: 'The agent was started again while it was at this. It goes on where it was.',
          nextRetryDelay: '100 milliseconds',
        }),
      );
      log.info({ workflowId }, `Handed back to ${workflowId} what was under way; it goes on where it was.`);
    } catch (error) {
      // It has ended, or timed out, meanwhile: the next sweep takes away what it left.
      log.info({ workflowId }, `Nothing to hand back to ${workflowId}: ${messageOf(error)}`);
    }
  }
}
