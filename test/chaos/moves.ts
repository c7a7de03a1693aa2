/** Moves to another server: databases go to and fro between the servers of the fleet, from wherever the run before left them. */

import { rmSync } from 'node:fs';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { processFiles } from '../../src/host/layout.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import type { Parts } from './endState.js';
import type { Procedure } from './procedure.js';

/** What only looks is killed in other procedures often enough. */
const CHANGES: ReadonlySet<string> = new Set([
  'claimDatabases',
  'startProcess',
  'acquireForkPermit',
  'synchroniseFully',
  'releaseForkPermit',
  'follow',
  'setFollower',
  'handOver',
  'recordMove',
  'stopProcess',
  'removeProcess',
  'releaseDatabases',
]);

const UNDOES: ReadonlySet<string> = new Set([
  'restoreFollowers',
  'detach',
  'stopProcess',
  'removeProcess',
  'resizeBacklog',
  'releaseDatabases',
]);

/** Data sets are small here: copies from one host wait for each other, and not for long. */
const MOST_FORKS = 5;

export const MOVES: readonly Procedure[] = [
  {
    name: 'moveDatabase',
    type: 'moveDatabase',
    writes: 'meanwhile',
    killedAfter: CHANGES,
    forksOn: 'follower',
    mostForks: MOST_FORKS,
    parts: partsNow,
    async prepare(fleet, database) {
      const server = await lookWhereItIs(fleet, database);
      return { name: database, request: { database, to: { server } } };
    },
  },
  {
    name: 'moveDatabase, aborted before the hand-over',
    type: 'moveDatabase',
    writes: 'meanwhile',
    update: 'abort',
    killedAfter: UNDOES,
    forksOn: 'follower',
    mostForks: MOST_FORKS,
    parts: partsNow,
    async prepare(fleet, database) {
      const server = await lookWhereItIs(fleet, database);
      return { name: database, request: { database, to: { server }, ask: true } };
    },
  },
];

/** The records as they were before each run, since parts are asked for at any time. */
const before = new WeakMap<TestFleet, Map<string, DatabaseRecord>>();

function partsNow(fleet: TestFleet, database: string): Parts {
  const known = before.get(fleet)?.get(database);
  const file = fleet.dev.fleet.databases.find(({ name }) => name === database);
  const server = known?.server ?? file?.server;
  const port = known?.leader.port ?? file?.port ?? 0;
  const pair = (here: boolean): readonly [Endpoint, Endpoint] => {
    const found = fleet.dev.fleet.servers.find(({ name }) => (name === server) === here);
    if (found === undefined) throw new Error(`There is no other server than ${server ?? '?'}.`);
    const [a, b] = found.hosts.map((host): Endpoint => ({ host: host.name, address: host.address, port }));
    if (a === undefined || b === undefined) throw new Error(`${found.name} has no two hosts.`);
    return [a, b];
  };
  const [leader, follower] = pair(true);
  const [newLeader, newFollower] = pair(false);
  return { leader, follower, newLeader, newFollower };
}

/** @returns the server that it is not on */
async function lookWhereItIs(fleet: TestFleet, database: string): Promise<string> {
  const record = await fleet.record(database);
  const known = before.get(fleet) ?? new Map<string, DatabaseRecord>();
  before.set(fleet, known.set(database, record));
  // What provisioning, or a move before this one, needed: every run begins with the same files.
  for (const one of [record.leader, record.follower]) {
    if (one === null) throw new Error(`${database} has no follower.`);
    const files = processFiles(fleet.dev.data.host(one.host), database);
    for (const file of [files.data, `${files.data}.previous`, files.placement]) rmSync(file, { force: true });
  }
  const other = fleet.dev.fleet.servers.find(({ name }) => name !== record.server);
  if (other === undefined) throw new Error('The fleet has one server only.');
  return other.name;
}
