/** A fleet for once whose hosts of `az-a` and of `az-b` are in zones that can be cut off; all else is outside. */

import { hostAddress, SIDES, startTestFleet, type TestFleet, type TestFleetOptions } from './fleet.js';
import { makeZones, type Zones } from './zones.js';

export interface ZonedFleet extends TestFleet {
  readonly zones: Zones;
}

/** @throws as `makeZones` and `startDev`; nothing is left then */
export async function startZonedFleet(options: Omit<TestFleetOptions, 'network'>): Promise<ZonedFleet> {
  const servers = Array.from({ length: options.servers }, (_, index) => index + 1);
  const zones = await makeZones((subnet) =>
    Object.fromEntries(
      SIDES.map((side) => [`az-${side}`, servers.map((server) => hostAddress(subnet, server, side))]),
    ),
  );
  try {
    const fleet = await startTestFleet({ ...options, network: zones });
    return {
      ...fleet,
      zones,
      async stop() {
        // What cannot reach Temporal does not stop in good order.
        for (const side of SIDES) await zones.heal(`az-${side}`);
        await fleet.stop();
        await zones.remove();
      },
    };
  } catch (error) {
    await zones.remove();
    throw error;
  }
}
