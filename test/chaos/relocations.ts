/**
 * Relocations: each drains a host that has one database, onto the last server. All other hosts are closed, so that
 * several can run side by side without one being planned onto a host that another one drains.
 */

import { rmSync } from 'node:fs';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { workflowId } from '../../src/fleet/names.js';
import { planRelocation } from '../../src/fleet/relocation/planner.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { processFiles } from '../../src/host/layout.js';
import { maintenanceStore, type MaintenanceStore } from '../../src/records/maintenance.js';
import { readRelocationState } from '../../src/records/relocation.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Relocated } from '../../src/workflows/relocateDatabases.js';
import type { Parts } from './endState.js';
import type { Procedure } from './procedure.js';
import { at, partsOf } from './stage.js';

const APPROVED = { 'move the databases': { by: 'ann', reason: 'the crash matrix' } };

const APPROVED_DRAIN = {
  type: 'relocateDatabases',
  writes: 'meanwhile',
  parts: partsWithTarget,
  async prepare(fleet, database) {
    const host = await hostToDrain(fleet, database);
    return { name: host, request: { drain: host, approved: APPROVED } };
  },
  besides: whatWasMoved,
} satisfies Omit<Procedure, 'name'>;

/** First the one that moves nothing: its database is at home for the cases that come first. */
export const RELOCATIONS: readonly Procedure[] = [
  {
    name: 'relocateDatabases, aborted while it asks',
    type: 'relocateDatabases',
    writes: 'meanwhile',
    update: 'abort',
    steersAfterKill: true,
    parts: partsWithTarget,
    async prepare(fleet, database) {
      const host = await hostToDrain(fleet, database);
      return { name: host, request: { drain: host } };
    },
  },
  {
    ...APPROVED_DRAIN,
    name: 'relocateDatabases',
    // The check of the request is the same as above.
    killedAfter: new Set(['planRelocations']),
    // What is shown, what is begun, and what is left to do when a move has ended: more are looks in between.
    mostOfAType: 3,
  },
  {
    ...APPROVED_DRAIN,
    name: 'relocateDatabases, while it waits for a move',
    killedIn: 'moveDatabase',
    killedAfter: new Set(['recordMove']),
    mostOfAType: 1,
  },
];

function partsWithTarget(fleet: TestFleet, database: string): Parts {
  const { leader, follower } = partsOf(fleet, database);
  const { port } = at(leader);
  const [newLeader, newFollower] = (fleet.dev.fleet.servers.at(-1)?.hosts ?? []).map(
    ({ name, address }): Endpoint => ({ host: name, address, port }),
  );
  return {
    leader: at(leader),
    follower: at(follower),
    newLeader: at(newLeader),
    newFollower: at(newFollower),
  };
}

/** By its own account. */
async function whatWasMoved(fleet: TestFleet, database: string): Promise<object> {
  const { host } = at(partsOf(fleet, database)['follower']);
  const end = await runbookEnd(fleet.dev.temporal, { workflowId: workflowId('relocateDatabases', host) });
  if (end.how !== 'well') return { problem: end.problem };
  const { moved, failed, after } = end.result as Relocated;
  return {
    moved: moved.length,
    leaderForks: moved.map(({ leaderForks }) => leaderForks),
    failed,
    after: after.kind,
  };
}

/** @returns the host of the follower, when a drain of it would move that database and nothing else */
async function hostToDrain(fleet: TestFleet, database: string): Promise<string> {
  await allClosed(fleet);
  await bringHome(fleet, database);
  const { leader, follower } = partsOf(fleet, database);
  for (const one of [leader, follower]) {
    // What provisioning, or a move before this one, needed: every run begins with the same files.
    const files = processFiles(fleet.dev.data.host(at(one).host), database);
    for (const file of [files.data, `${files.data}.previous`, files.placement]) rmSync(file, { force: true });
  }
  const { host } = at(follower);
  await waitFor(() => wouldMoveIt(fleet, database, host), {
    deadlineMs: 120_000,
    what: `the agents to have seen ${database} on ${host}, and nothing else`,
    everyMs: 250,
  });
  return host;
}

async function wouldMoveIt(fleet: TestFleet, database: string, host: string): Promise<boolean> {
  const { consul, fleet: file } = fleet.dev;
  const plan = planRelocation(await readRelocationState(consul, file.name, Date.now()), {
    kind: 'drain',
    host,
  });
  return (
    plan.kind === 'plan' &&
    plan.moves.length === 1 &&
    plan.moves.every((move) => move.database === database && move.to.server === file.servers.at(-1)?.name)
  );
}

const closings = new WeakMap<TestFleet, Promise<void>>();

/** All but those of the last server. */
function allClosed(fleet: TestFleet): Promise<void> {
  const hosts = fleet.dev.fleet.servers.slice(0, -1).flatMap((server) => server.hosts);
  const closing = closings.get(fleet) ?? close(fleet, hosts);
  closings.set(fleet, closing);
  return closing;
}

async function close(fleet: TestFleet, hosts: readonly { readonly name: string }[]): Promise<void> {
  const since = new Date().toISOString();
  const why = { by: 'ann', reason: 'the crash matrix', since };
  await Promise.all(hosts.map(({ name }) => closedHosts(fleet).begin({ scope: 'host', name, ...why })));
}

/** Back to where the fleet file has it. */
async function bringHome(fleet: TestFleet, database: string): Promise<void> {
  const { databases, servers } = fleet.dev.fleet;
  const home = servers.find(({ name }) => name === databases.find((one) => one.name === database)?.server);
  if (home === undefined) throw new Error(`${database} is not in the fleet file.`);
  if ((await fleet.record(database)).server === home.name) return;
  for (const { name } of home.hosts) await closedHosts(fleet).end('host', name);
  const request = { database, to: { server: home.name } };
  const subject = { fleet: fleet.dev.fleet.name, databases: [database] };
  const run = await startRunbook(fleet.dev.temporal, 'moveDatabase', database, request, subject);
  const end = await runbookEnd(fleet.dev.temporal, run);
  if (end.how !== 'well') throw new Error(`${database} did not come home: ${end.problem}`);
  await close(fleet, home.hosts);
}

function closedHosts(fleet: TestFleet): MaintenanceStore {
  return maintenanceStore(fleet.dev.consul, fleet.dev.fleet.name);
}
