/** Provisioning a server, again and again: before each run nothing is left of its database. */

import { rmSync } from 'node:fs';
import { processFiles } from '../../src/host/layout.js';
import { recordStore } from '../../src/records/databases.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import type { Procedure } from './procedure.js';
import { killProcess, partsOf } from './stage.js';

export const PROVISIONING: Procedure = {
  name: 'provisionServer',
  type: 'provisionServer',
  writes: 'afterwards',
  parts: (fleet, database) => partsOf(fleet, database),
  async prepare(fleet, database) {
    await remove(fleet, database);
    const server = fleet.dev.fleet.databases.find(({ name }) => name === database)?.server ?? '';
    return { name: server, request: { server } };
  },
};

async function remove(fleet: TestFleet, database: string): Promise<void> {
  for (const endpoint of Object.values(partsOf(fleet, database))) {
    await killProcess(fleet, database, endpoint);
    const { directory } = processFiles(fleet.dev.data.host(endpoint.host), database);
    rmSync(directory, { recursive: true, force: true });
  }
  const records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  const stored = await records.read(database);
  if (stored && !(await records.compareAndDelete(database, stored.modifyIndex)))
    throw new Error(`The record of ${database} changed while it was removed.`);
}
