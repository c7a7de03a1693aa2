/** Backs one database up, on its follower, and verifies what is in the store. Its leader is left alone. */

import type { VerifiedBackup } from '../activities/backupContract.js';
import { showSize } from '../fleet/quantities.js';
import type { BackupDatabaseRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { backUp } from './backupOne.js';
import { local } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import { now } from './engine/log.js';
import { runRunbook } from './engine/runbook.js';

const CHECK = { name: 'check the request', does: 'Validates the argument, and looks who follows.' };
const BACK_UP = {
  name: 'back up',
  does: 'Makes the follower save, stores the file, reads it back from the store, and records it as verified.',
};

export async function backupDatabase(input: BackupDatabaseRequest): Promise<RunbookResult<VerifiedBackup>> {
  return runRunbook({ title: 'Back up a database' }, async (runbook) => {
    runbook.outline([CHECK, BACK_UP]);
    const since = now();
    const { fleet, database, host } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: async () => {
        const checked = await local().checkRequest({ type: 'backupDatabase', request: input });
        const { database: wanted } = checked.request;
        return {
          fleet: checked.fleet,
          database: wanted,
          host: await local().followerHost({ database: wanted }),
        };
      },
    });
    runbook.subject({ fleet, databases: [database] });

    const verified = await runbook.step({
      ...BACK_UP,
      preflight: true,
      run: async () => {
        const outcome = await backUp(host, { database, since, after: null });
        if (outcome.how === 'skipped')
          throw refusal('FollowerUnfit', `${outcome.why}. Nothing was backed up.`);
        return outcome;
      },
    });
    const { id, keys, plainBytes, storedBytes, untidy } = verified;
    runbook.note(
      `Backup ${id} of ${database} is verified: ${String(keys)} keys, ${showSize(plainBytes)}, ${showSize(storedBytes)} in the ` +
        'store.',
    );
    if (untidy !== null) runbook.note(`What had expired could not be removed: ${untidy}`);
    return verified;
  });
}
