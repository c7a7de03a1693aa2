/** Data is brought back from backups, and backups are tried out. */

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { processFiles } from '../../src/host/layout.js';
import { makeBackup } from '../../src/testbed/backups.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { REPLACE } from '../../src/workflows/restoreOutline.js';
import type { Procedure } from './procedure.js';
import { at, killProcess, partsOf } from './stage.js';

const APPROVED = { [REPLACE.name]: { by: 'ann', reason: 'the crash matrix' } };

const CHANGES: ReadonlySet<string> = new Set([
  'claimDatabases',
  'fetchBackup',
  'stopProcess',
  'placeBackup',
  'startProcess',
  'leadFromFile',
  'follow',
  'publishRestored',
  'letServe',
  'restoreDataFile',
  'discardFetched',
  'forgetPreviousDataFile',
  'releaseDatabases',
]);

export const RESTORES: readonly Procedure[] = [
  {
    name: 'restoreDatabase of what is lost',
    type: 'restoreDatabase',
    killedAfter: CHANGES,
    writes: 'afterwards',
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      requireTidy(fleet, database);
      await makeBackup(fleet, database);
      for (const endpoint of Object.values(partsOf(fleet, database))) {
        await killProcess(fleet, database, endpoint);
        const { directory } = processFiles(fleet.dev.data.host(endpoint.host), database);
        rmSync(directory, { recursive: true, force: true });
      }
      return { name: database, request: { database, approved: APPROVED } };
    },
  },
  {
    name: 'restoreDatabase aborted when it had loaded the wrong data',
    type: 'restoreDatabase',
    killedAfter: CHANGES,
    writes: 'afterwards',
    update: 'abort',
    steersAt: 'stuck',
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      requireTidy(fleet, database);
      const { manifestFile } = await makeBackup(fleet, database);
      // As if its last check had found more in it.
      const proof = manifestFile.replace('.json', '.sound.json');
      const said: unknown = JSON.parse(readFileSync(proof, 'utf8'));
      writeFileSync(proof, JSON.stringify({ ...(said as object), keys: 1_000_000 }));
      return { name: database, request: { database, approved: APPROVED } };
    },
  },
  {
    name: 'drillBackups',
    type: 'drillBackups',
    writes: 'meanwhile',
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      requireTidy(fleet, database);
      forgetFiles(fleet, database);
      await makeBackup(fleet, database);
      const { host } = at(partsOf(fleet, database)['follower']);
      return { name: database, request: { database, host } };
    },
  },
];

/** What a restore before left: the first run has none. */
function forgetFiles(fleet: TestFleet, database: string): void {
  for (const { host } of Object.values(partsOf(fleet, database))) {
    const { data, previousData, placement } = processFiles(fleet.dev.data.host(host), database);
    for (const file of [data, previousData, placement]) rmSync(file, { force: true });
  }
}

/** Of the run before. */
function requireTidy(fleet: TestFleet, database: string): void {
  for (const { host } of Object.values(partsOf(fleet, database))) {
    for (const left of ['.drill', `.fetched/${database}`]) {
      const folder = path.join(fleet.dev.data.host(host), left);
      if (existsSync(folder)) throw new Error(`A run left ${folder} behind.`);
    }
  }
}
