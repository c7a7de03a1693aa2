/**
 * Moves whose copy fits only while writes wait: the followers' hosts are cramped and stay, the leaders' are roomy. So only
 * leaders move, to and fro between the servers.
 */

import { rmSync } from 'node:fs';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { processFiles } from '../../src/host/layout.js';
import type { TestFleet, TestFleetOptions } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { COPY_IN_PAUSE } from '../../src/workflows/moveOutline.js';
import type { Parts } from './endState.js';
import type { Procedure } from './procedure.js';
import { MAXMEMORY } from './sound.js';

/** 20 MB of payload leave less of it than a fork may need, and more than one needs while writes wait. */
const CRAMPED = '72MiB';
const MEGABYTES = 20;

export const CRAMPED_FLEET: TestFleetOptions = {
  servers: 2,
  databasesPerServer: 1,
  maxmemory: MAXMEMORY,
  memoryOf: { 'redis-01-b': CRAMPED, 'redis-02-b': CRAMPED },
  name: 'cramped',
};

const APPROVED = { [COPY_IN_PAUSE.name]: { by: 'ann', reason: 'the crash matrix' } };

export const MOVES_IN_PAUSE: readonly Procedure[] = [
  {
    name: 'moveDatabase while writes wait',
    type: 'moveDatabase',
    writes: 'meanwhile',
    // What else a move does is killed elsewhere.
    killedAfter: new Set(['forkInPause', 'releaseForkPermit']),
    forksOn: 'follower',
    parts: partsNow,
    async prepare(fleet, database) {
      await filled(fleet);
      const record = await fleet.record(database);
      before.set(fleet, (before.get(fleet) ?? new Map<string, DatabaseRecord>()).set(database, record));
      const { leader, follower, newLeader } = partsNow(fleet, database);
      if (leader === undefined || follower === undefined || newLeader === undefined)
        throw new Error(`${database} lacks a part.`);
      // What provisioning, or a move before this one, needed: every run begins with the same files.
      for (const { host } of [leader, follower]) {
        const files = processFiles(fleet.dev.data.host(host), database);
        for (const file of [files.data, `${files.data}.previous`, files.placement])
          rmSync(file, { force: true });
      }
      const to = { leader: newLeader.host, follower: follower.host };
      // A copy that is limited is planned with at its worst, whatever the runs before it cost.
      const request = { database, to, bandwidth: 2 ** 30, pauseWrites: { seconds: 20 }, approved: APPROVED };
      return { name: database, request };
    },
  },
];

/** The records as they were before each run, since parts are asked for at any time. */
const before = new WeakMap<TestFleet, Map<string, DatabaseRecord>>();

function partsNow(fleet: TestFleet, database: string): Parts {
  const { servers, databases } = fleet.dev.fleet;
  const own = databases.find(({ name }) => name === database);
  const roomy = servers.map(({ hosts: [host] }) => host);
  const home = servers.find(({ name }) => name === own?.server);
  const port = own?.port ?? 0;
  const at = ({ name, address }: { name: string; address: string }): Endpoint => ({
    host: name,
    address,
    port,
  });
  const leader = before.get(fleet)?.get(database)?.leader.host ?? home?.hosts[0].name;
  const [from, to] = [roomy.find(({ name }) => name === leader), roomy.find(({ name }) => name !== leader)];
  if (home === undefined || from === undefined || to === undefined)
    throw new Error(`${database} lacks a host for a part.`);
  return { leader: at(from), follower: at(home.hosts[1]), newLeader: at(to) };
}

const filling = new WeakMap<TestFleet, Promise<void>>();

/** Once. */
function filled(fleet: TestFleet): Promise<void> {
  const begun = filling.get(fleet) ?? fill(fleet);
  filling.set(fleet, begun);
  return begun;
}

async function fill(fleet: TestFleet): Promise<void> {
  for (const database of fleet.databases) {
    const [where, follower] = [await fleet.leader(database), await fleet.follower(database)];
    await loadData({ ...fleet.application, where, megabytes: MEGABYTES, seed: 1 });
    const { offset } = (await fleet.facts(where)).position;
    await waitFor(async () => (await fleet.facts(follower)).position.offset >= offset, {
      deadlineMs: 60_000,
      what: `the follower of ${database} to have all its data`,
    });
  }
}
