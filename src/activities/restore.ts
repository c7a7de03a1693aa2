/** What a restore needs of the records and of the restored leader. */

import type { Credentials } from '../connections/credentials.js';
import { FleetError } from '../fleet/errors.js';
import { publishRestored } from '../fleet/recordRestored.js';
import { placeRestore } from '../fleet/restorePlace.js';
import { showEndpoint } from '../fleet/record.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import { readOwned } from './ownedRecord.js';
import { callingWorkflow } from './owner.js';
import { changeRecord } from './records.js';
import { redisAccess } from './redisAccess.js';
import type { RestoreActivities } from './restoreContract.js';

export interface RestoreDependencies {
  readonly records: RecordStore;
  readonly fleet: FleetStore;
  readonly credentials: Credentials;
}

export function restoreActivities(dependencies: RestoreDependencies): RestoreActivities {
  const { records, fleet, credentials } = dependencies;
  const access = redisAccess(credentials);

  return {
    async placeRestore({ request }) {
      const [applied, list] = await Promise.all([
        fleet.applied('nobody knows where its backups are'),
        records.list(),
      ]);
      const unreadable = list.invalid.find(({ database }) => database === request.database);
      if (unreadable) throw unreadable.problem;
      const all = list.records.map(({ record }) => record);
      return { place: placeRestore(applied, all, request), store: applied.backups.store };
    },

    async publishRestored({ database, ...wanted }) {
      const author = callingWorkflow('urgent');
      await changeRecord(
        records,
        database,
        () => readOwned(records, database),
        (stored) => publishRestored(stored.record, wanted, author),
      );
    },

    async letServe({ leader }) {
      await access.use(leader, async (redis) => {
        if ((await redis.role())[0] !== 'master') {
          throw new FleetError(
            'LeaderUnfit',
            `${showEndpoint(leader)} shall serve restored data, and does not lead: somebody re-pointed or restarted it. Look at it with \`redis-fleet status\`.`,
          );
        }
        await redis.config('SET', 'min-replicas-to-write', '0');
      });
    },
  };
}
