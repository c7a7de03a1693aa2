/** A wider backlog of a leader, while what is to follow it has not got everything yet. */

import type { Endpoint } from '../fleet/record.js';
import { control } from './engine/activityOptions.js';
import type { Runbook } from './engine/runbook.js';

export interface Widening {
  readonly leader: Endpoint;
  /** Bytes: what it has, and what it needs. */
  readonly before: number;
  readonly bytes: number;
}

/** Where it has less. The undo gives it the size it had. */
export async function widenBacklog(
  runbook: Runbook,
  step: { readonly name: string; readonly does: string },
  { leader, before, bytes }: Widening,
): Promise<void> {
  await runbook.step({
    ...step,
    undo: {
      does: 'Gives the backlog the size it had.',
      run: async () => {
        await control('narrow the backlog').resizeBacklog({ leader, bytes: before });
      },
    },
    run: async () => {
      if (bytes > before) await control('widen the backlog').resizeBacklog({ leader, bytes });
    },
  });
}
