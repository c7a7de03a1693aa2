/** The relocation as it is, and moves that do nothing but what the test says. */

import { proxyActivities } from '@temporalio/workflow';
import type { MoveDatabaseRequest } from '../../src/fleet/requests.js';
import type { RunbookResult } from '../../src/fleet/runbook.js';
import { runRunbook } from '../../src/workflows/engine/runbook.js';
import type { MovedDatabase } from '../../src/workflows/moveDatabase.js';

export { relocateDatabases } from '../../src/workflows/relocateDatabases.js';

export interface MoveActivities {
  move(request: MoveDatabaseRequest): Promise<MovedDatabase>;
}

const { move } = proxyActivities<MoveActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumAttempts: 1 },
});

export function moveDatabase(request: MoveDatabaseRequest): Promise<RunbookResult<MovedDatabase>> {
  return runRunbook({ title: 'Move' }, (runbook) =>
    runbook.step({ name: 'move', does: 'Moves.', preflight: true, run: () => move(request) }),
  );
}
