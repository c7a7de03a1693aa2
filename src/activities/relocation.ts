/** Plans relocations: reads what Consul knows, and hands it to the planner. */

import type { FleetConsul } from '../connections/consul.js';
import type { HostReport } from '../fleet/facts.js';
import { planRelocation } from '../fleet/relocation/planner.js';
import type { PlannedMove } from '../fleet/relocation/plan.js';
import { readRelocationState } from '../records/relocation.js';
import { reportStore } from '../records/reports.js';
import { pollUntil } from './polling.js';
import type { RelocationActivities } from './relocationContract.js';

export interface RelocationDependencies {
  readonly consul: FleetConsul;
  readonly fleetName: string;
}

/** Agents report every five seconds; one that does not is planned with as it was. */
const SEEN_WITHIN_MS = 30_000;

export function relocationActivities({ consul, fleetName }: RelocationDependencies): RelocationActivities {
  const reports = reportStore(consul, fleetName);
  return {
    async planRelocations({ goal, underWay, leave, ended, ...options }) {
      // What has left a host is still counted there until its agent has looked again: too much would be moved.
      await pollUntil({ deadlineMs: ended.length === 0 ? 0 : SEEN_WITHIN_MS, everyMs: 500 }, async () => {
        const all = await reports.list();
        return ended.every((move) => wasSeen(move, all)) ? true : null;
      });
      const state = await readRelocationState(consul, fleetName, Date.now());
      const left = new Set(leave);
      const databases = state.databases.map((database) =>
        left.has(database.name)
          ? { ...database, busy: database.busy ?? 'left where it is by this runbook' }
          : database,
      );
      return planRelocation({ ...state, databases }, goal, { ...options, underWay });
    },
  };
}

function wasSeen({ database, from, to }: PlannedMove, reports: readonly HostReport[]): boolean {
  const has = (host: string): boolean =>
    reports.some(
      (report) => report.host === host && report.processes.some((process) => process.database === database),
    );
  const targets = [to.leader.host, to.follower.host];
  const sources = [from.leader.host, from.follower.host].filter((host) => !targets.includes(host));
  return targets.every(has) && !sources.some(has);
}
