/** Data is brought back from backups, and backups are tried out. */

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { processFiles } from '../../src/host/layout.js';
import { recordStore } from '../../src/records/databases.js';
import { makeBackup } from '../../src/testbed/backups.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { loadData } from '../../src/testbed/load.js';
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

/** What a restore beside does differently. */
const BESIDE: ReadonlySet<string> = new Set([
  'createRecords',
  'startProcess',
  'leadFromFile',
  'publishRestored',
  'discardFetched',
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
    name: 'restoreDatabase as a new database beside',
    type: 'restoreDatabase',
    killedAfter: BESIDE,
    writes: 'meanwhile',
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      requireTidy(fleet, database);
      forgetFiles(fleet, database);
      await removeNew(fleet, database);
      await loadData({ ...fleet.application, where: await fleet.leader(database), megabytes: 1, seed: 1 });
      await makeBackup(fleet, database);
      return {
        name: nameOfNew(database),
        request: { database, into: { database: nameOfNew(database), port: portOfNew(database) } },
      };
    },
    besides: newDatabase,
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

function nameOfNew(database: string): string {
  return `${database}-new`;
}

/** Several are restored at the same time. */
function portOfNew(database: string): number {
  return 7_000 + Number(/\d+$/.exec(database)?.[0]);
}

/** Of the run before. */
async function removeNew(fleet: TestFleet, database: string): Promise<void> {
  const into = nameOfNew(database);
  const store = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  const stored = await store.read(into);
  if (stored === null) return;
  const { leader, follower } = stored.record;
  for (const endpoint of [leader, follower]) {
    if (endpoint === null) continue;
    await killProcess(fleet, into, endpoint);
    rmSync(processFiles(fleet.dev.data.host(endpoint.host), into).directory, { recursive: true });
  }
  await store.compareAndDelete(into, stored.modifyIndex);
}

async function newDatabase(fleet: TestFleet, database: string): Promise<object> {
  const into = nameOfNew(database);
  const hosts = Object.entries(partsOf(fleet, database));
  const partOf = (endpoint: Endpoint | null): string | undefined =>
    hosts.find(([, { host }]) => host === endpoint?.host)?.[0];
  const stored = await recordStore(fleet.dev.consul, fleet.dev.fleet.name).read(into);
  if (stored === null) return { record: null };
  const { epoch, leader, follower, operation } = stored.record;
  const seen = await Promise.all([fleet.facts(leader), fleet.facts(at(follower ?? undefined))]);
  return {
    epoch,
    leader: partOf(leader),
    follower: partOf(follower),
    isOwned: operation !== undefined,
    roles: seen.map(({ role }) => role),
    // As many as there are in the other.
    holdTheSame: new Set(seen.map(({ keys }) => keys)).size === 1,
    isEmpty: seen.some(({ keys }) => keys === 0),
    fetched: hosts.filter(([, { host }]) =>
      existsSync(path.join(fleet.dev.data.host(host), '.fetched', into)),
    ),
  };
}
