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

/** What the agents of these hosts said; one that never did is left out. @throws FleetError Unreachable, WrongCredentials */
export async function readReported(
  consul: FleetConsul,
  fleet: string,
  hosts: readonly string[],
): Promise<Pick<Observed, 'reports' | 'histories'>> {
  const [reports, memory] = [reportStore(consul, fleet), memoryStore(consul, fleet)];
  const [found, histories] = await Promise.all([
    Promise.all(hosts.map((host) => reports.read(host))),
    Promise.all(hosts.map((host) => memory.read(host))),
  ]);
  return {
    reports: found.filter((one) => one !== null),
    histories: histories.filter((one) => one !== null),
  };
}
