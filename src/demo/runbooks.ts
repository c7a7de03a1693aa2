/** Waits for the runbooks of the demo. */

import { followRunbook } from '../cli/followRunbook.js';
import { FleetError } from '../fleet/errors.js';
import type { RunbookState } from '../fleet/runbook.js';
import type { TestFleet } from '../testbed/fleet.js';
import type { Progress } from './progress.js';

const ENDS_WITHIN_MS = 180_000;

/** @throws FollowerUnfit when it does not end well */
export async function endsWell(
  fleet: TestFleet,
  name: { readonly workflowId: string; readonly runId: string },
  progress: Progress,
): Promise<{ readonly runbook: RunbookState; readonly result: unknown }> {
  const signal = AbortSignal.any([progress.signal, AbortSignal.timeout(ENDS_WITHIN_MS)]);
  const followed = await followRunbook(fleet.dev.temporal, name, { signal });
  const { runbook } = followed;
  if (followed.how !== 'well' || runbook === null)
    throw new FleetError('FollowerUnfit', unwell(name, followed));
  return { runbook, result: followed.result };
}

function unwell(
  { workflowId }: { workflowId: string },
  followed: Awaited<ReturnType<typeof followRunbook>>,
): string {
  switch (followed.how) {
    case 'failed':
      return `${workflowId} failed: ${followed.problem}`;
    case 'waits': {
      const stuck = followed.runbook.steps.find(({ progress }) => 'problem' in progress);
      const problem = stuck && 'problem' in stuck.progress ? `: ${stuck.progress.problem}` : '';
      return `${workflowId} waits for a person${stuck ? ` at "${stuck.name}"` : ''}${problem}`;
    }
    case 'left':
      return `${workflowId} did not end within ${ENDS_WITHIN_MS / 1000} s`;
    case 'well':
      return `${workflowId} ended well, and left no state`;
  }
}
