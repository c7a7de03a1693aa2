/** What the control plane knows of backups: who follows where, and how old the last verified ones are. */

import { planSweep, whereabouts } from '../fleet/backupSweep.js';
import { FleetError } from '../fleet/errors.js';
import { hostsOf } from '../fleet/placement.js';
import type { BackupRecordStore } from '../records/backups.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { BackupActivities } from './backupContract.js';

export interface BackupActivityDependencies {
  readonly records: RecordStore;
  readonly fleet: FleetStore;
  readonly backups: BackupRecordStore;
}

export function backupActivities({ records, fleet, backups }: BackupActivityDependencies): BackupActivities {
  return {
    async planBackups({ host }) {
      const [stored, list, known] = await Promise.all([fleet.read(), records.list(), backups.list()]);
      const hosts = stored === null ? [] : hostsOf(stored.fleet).map(({ name }) => name);
      const all = list.records.map(({ record }) => record);
      // A host that left the file may still hold followers.
      if (!hosts.includes(host) && !all.some(({ follower }) => follower?.host === host)) {
        throw new FleetError(
          'NotFound',
          `There is no host ${host} in the applied fleet; its hosts are ${hosts.join(', ')}. Nothing was backed up.`,
        );
      }
      return planSweep(host, all, known);
    },

    async followerHost({ database }) {
      const stored = await records.read(database);
      if (stored === null) {
        throw new FleetError(
          'NotFound',
          `There is no database ${database} with a record. Nothing was backed up. See: redis-fleet status`,
        );
      }
      const { follower } = stored.record;
      if (follower !== null && stored.record.epoch > 0) return follower.host;
      const found = whereabouts(stored.record.leader.host, database, stored.record);
      throw new FleetError('FollowerUnfit', `${found.here ? database : found.why}. Nothing was backed up.`);
    },
  };
}
