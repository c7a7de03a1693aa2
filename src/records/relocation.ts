/** All that Consul knows of a fleet's memory, as the planner of relocations sees it. */

import type { FleetConsul } from '../connections/consul.js';
import { relocationState } from '../fleet/relocation/observed.js';
import type { RelocationState } from '../fleet/relocation/state.js';
import { fleetStore } from './fleet.js';
import { readObserved } from './observed.js';

/** @throws NotFound (no fleet was applied), Unreachable */
export async function readRelocationState(
  consul: FleetConsul,
  fleet: string,
  now: number,
): Promise<RelocationState> {
  const [applied, observed] = await Promise.all([
    fleetStore(consul, fleet).applied('nothing can be moved'),
    readObserved(consul, fleet),
  ]);
  return relocationState({ ...observed, fleet: applied, now });
}
