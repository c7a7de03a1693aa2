/** Which drills are due, and what they found. */

import { FleetError } from '../fleet/errors.js';
import { planDrills } from '../fleet/drills.js';
import { hostsOf } from '../fleet/placement.js';
import type { RecordStore } from '../records/databases.js';
import type { DrillStore } from '../records/drills.js';
import type { FleetStore } from '../records/fleet.js';
import type { ReportStore } from '../records/reports.js';
import type { DrillActivities } from './drillContract.js';

export interface DrillDependencies {
  readonly fleetName: string;
  readonly fleet: FleetStore;
  readonly records: RecordStore;
  readonly reports: ReportStore;
  readonly drills: DrillStore;
}

export function drillActivities({
  fleetName,
  fleet,
  records,
  reports,
  drills,
}: DrillDependencies): DrillActivities {
  return {
    async planDrills({ request }) {
      const [applied, list, seen, done] = await Promise.all([
        fleet.applied('nobody knows where its backups are'),
        records.list(),
        reports.list(),
        drills.list(),
      ]);
      const all = list.records.map(({ record }) => record);
      const { database, host } = request;
      if (database !== undefined && !all.some((record) => record.database === database)) {
        throw new FleetError(
          'NotFound',
          `Fleet ${fleetName} has no record of a database ${database}. See which there are: redis-fleet status`,
        );
      }
      const hosts = hostsOf(applied).map(({ name }) => name);
      if (host !== undefined && !hosts.includes(host)) {
        throw new FleetError(
          'NotFound',
          `Fleet ${fleetName} has no host ${host}. Its hosts are ${hosts.join(', ')}.`,
        );
      }
      const plan = planDrills(applied, all, done, seen, request, Date.now());
      return { ...plan, store: applied.backups.store };
    },

    recordDrill: ({ drill: { how, ...drill } }) => {
      how satisfies 'drilled';
      return drills.record(drill);
    },
  };
}
