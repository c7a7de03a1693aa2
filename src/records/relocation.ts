/** All that Consul knows of a fleet's memory, as the planner of relocations sees it. */

import type { FleetConsul } from '../connections/consul.js';
import { relocationState } from '../fleet/relocation/observed.js';
import type { RelocationState } from '../fleet/relocation/state.js';
import { recordStore } from './databases.js';
import { fleetStore } from './fleet.js';
import { maintenanceStore } from './maintenance.js';
import { memoryStore } from './memory.js';
import { reportStore } from './reports.js';

/** @throws NotFound (no fleet was applied), Unreachable */
export async function readRelocationState(
  consul: FleetConsul,
  fleet: string,
  now: number,
): Promise<RelocationState> {
  const [applied, list, reports, histories, maintenance] = await Promise.all([
    fleetStore(consul, fleet).applied('nothing can be moved'),
    recordStore(consul, fleet).list(),
    reportStore(consul, fleet).list(),
    memoryStore(consul, fleet).list(),
    maintenanceStore(consul, fleet).list(),
  ]);
  const records = list.records.map(({ record }) => record);
  return relocationState({ fleet: applied, records, reports, histories, maintenance, now });
}
