/** All that forecasts of memory and plans of relocations are made from, beside the fleet file. */

import type { FleetConsul } from '../connections/consul.js';
import type { Observed } from '../fleet/relocation/observed.js';
import { recordStore } from './databases.js';
import { maintenanceStore } from './maintenance.js';
import { memoryStore } from './memory.js';
import { reportStore } from './reports.js';

/** @throws FleetError Unreachable, WrongCredentials */
export async function readObserved(
  consul: FleetConsul,
  fleet: string,
): Promise<Omit<Observed, 'fleet' | 'now'>> {
  const [{ records }, reports, histories, maintenance] = await Promise.all([
    recordStore(consul, fleet).list(),
    reportStore(consul, fleet).list(),
    memoryStore(consul, fleet).list(),
    maintenanceStore(consul, fleet).list(),
  ]);
  return { records: records.map(({ record }) => record), reports, histories, maintenance };
}
