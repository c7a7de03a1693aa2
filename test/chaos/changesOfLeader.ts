/** Who leads changes: as planned, or because the leader is gone. */

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { Pulse } from '../../src/fleet/lease.js';
import type { WorkflowType } from '../../src/fleet/names.js';
import { sameEndpoint, type DatabaseRecord, type Endpoint } from '../../src/fleet/record.js';
import type { RequestByType } from '../../src/fleet/requests.js';
import { processFiles } from '../../src/host/layout.js';
import { recordStore } from '../../src/records/databases.js';
import { leaseStore } from '../../src/records/leases.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Procedure } from './procedure.js';
import { at, freezeProcess, killProcess, partsOf } from './stage.js';

export const CHANGES_OF_LEADER: readonly Procedure[] = [
  {
    name: 'switchover',
    type: 'switchover',
    writes: 'meanwhile',
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      await makeWhole(fleet, database);
      return { name: database, request: { database } };
    },
  },
  {
    name: 'promoteFollower of a leader that is gone',
    type: 'promoteFollower',
    writes: 'afterwards',
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      await makeWhole(fleet, database);
      const leader = at(partsOf(fleet, database)['leader']);
      await killProcess(fleet, database, leader);
      await untilMissed(fleet, database, leader, 'gone');
      return { name: database, request: seen(database, 'its process is gone') };
    },
  },
  {
    name: 'promoteFollower of a leader that hangs',
    type: 'promoteFollower',
    writes: 'afterwards',
    // Its agent, which lives, is faster than its lease runs out: nobody comes to break that.
    races: ['breakLease'],
    parts: (fleet, database) => partsOf(fleet, database),
    async prepare(fleet, database) {
      await makeWhole(fleet, database);
      const leader = at(partsOf(fleet, database)['leader']);
      freezeProcess(fleet, database, leader);
      await untilMissed(fleet, database, leader, 'silent');
      return { name: database, request: seen(database, 'its process does not answer') };
    },
  },
];

/** As a watch would call for it: one look is enough then, in every run. */
function seen(database: string, why: string): RequestByType['promoteFollower'] {
  return { database, detected: { by: 'the crash matrix', why: { [database]: why } } };
}

/** Until the agent beside it says so. */
async function untilMissed(
  fleet: TestFleet,
  database: string,
  { host }: Endpoint,
  pulse: Pulse,
): Promise<void> {
  const leases = leaseStore(fleet.dev.consul, fleet.dev.fleet.name);
  await waitFor(async () => (await leases.read(host))?.lease.processes[database]?.pulse === pulse, {
    deadlineMs: 60_000,
    what: `the agent of ${host} to miss ${database}`,
  });
}

/** The leader where the fleet file has it, with its follower, whatever the run before left. */
async function makeWhole(fleet: TestFleet, database: string): Promise<void> {
  const { leader, follower } = partsOf(fleet, database);
  const record = await fleet.record(database);
  if (record.follower === null) {
    const other = sameEndpoint(record.leader, at(leader)) ? at(follower) : at(leader);
    const folder = path.join(fleet.dev.data.root, 'backups');
    mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `${database}.rdb`);
    cpSync(await fleet.save(database, record.leader), file);
    await killProcess(fleet, database, other);
    await run(fleet, 'bringUpFollower', database, { database, host: other.host, backup: { file } });
  }
  if (!sameEndpoint((await fleet.record(database)).leader, at(leader)))
    await run(fleet, 'switchover', database, { database });
  await forgetPromotion(fleet, database);
  // What a bring-up before this run needed: the first run has none.
  for (const { host } of [at(leader), at(follower)]) {
    const files = processFiles(fleet.dev.data.host(host), database);
    for (const file of [files.data, `${files.data}.previous`, files.placement]) rmSync(file, { force: true });
  }
}

/** One of a moment ago would have another one wait for an approval. */
async function forgetPromotion(fleet: TestFleet, database: string): Promise<void> {
  const records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  const stored = await records.read(database);
  if (stored?.record.promotion === undefined) return;
  const without = ({ promotion: _promotion, ...record }: DatabaseRecord): DatabaseRecord => record;
  if (!(await records.compareAndSet(without(stored.record), stored.modifyIndex)))
    throw new Error(`The record of ${database} changed meanwhile.`);
}

async function run<T extends WorkflowType>(
  fleet: TestFleet,
  type: T,
  database: string,
  request: RequestByType[T],
): Promise<void> {
  const { temporal } = fleet.dev;
  const started = await startRunbook(temporal, type, database, request, {
    fleet: fleet.dev.fleet.name,
    databases: [database],
  });
  await temporal.workflow.getHandle(started.workflowId, started.runId).result();
}
