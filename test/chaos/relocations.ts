/**
 * Relocations: each drains a host that has two databases, onto the last server. All other hosts are closed, so that
 * several can run side by side without one being planned onto a host that another one drains. Both copies come from the
 * drained host, so the second move begins when the first has ended.
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
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Relocated } from '../../src/workflows/relocateDatabases.js';
import type { Parts } from './endState.js';
import type { Procedure } from './procedure.js';
import { at, partsOf } from './stage.js';

export const ABORTED_UNDER_WAY = 'relocateDatabases, aborted while a move is under way';
const LARGER_BY_MB = 2;
const APPROVED = { 'move the databases': { by: 'ann', reason: 'the crash matrix' } };

const DRAIN = {
  type: 'relocateDatabases',
  writes: 'meanwhile',
  parts: partsWithTarget,
  others: (fleet, database) => [secondOf(fleet, database)],
  besides: whatWasMoved,
} satisfies Omit<Procedure, 'name' | 'prepare'>;

const APPROVED_DRAIN = {
  ...DRAIN,
  async prepare(fleet, database) {
    const host = await hostToDrain(fleet, database);
    return { name: host, request: { drain: host, approved: APPROVED } };
  },
} satisfies Omit<Procedure, 'name'>;

/** First those that leave a database at home for the cases that come first. */
export const RELOCATIONS: readonly Procedure[] = [
  {
    ...DRAIN,
    name: 'relocateDatabases, aborted while it asks',
    update: 'abort',
    steersAfterKill: true,
    // The check of the request is the same in every procedure.
    killedAfter: new Set(['planRelocations']),
    async prepare(fleet, database) {
      const host = await hostToDrain(fleet, database);
      return { name: host, request: { drain: host } };
    },
  },
  {
    ...APPROVED_DRAIN,
    name: ABORTED_UNDER_WAY,
    update: 'abort',
    killedIn: 'moveDatabase',
    steersWhileHeldAfter: 'setFollower',
    killedAfter: new Set(['setFollower']),
    timesOfAType: [1],
  },
  {
    ...APPROVED_DRAIN,
    name: 'relocateDatabases',
    killedAfter: new Set(['planRelocations']),
    // Each of them begins a move: what comes before them was shown and asked, what comes later only looks.
    timesOfAType: [2, 3],
  },
  {
    ...APPROVED_DRAIN,
    name: 'relocateDatabases, while it waits for a move',
    killedIn: 'moveDatabase',
    killedAfter: new Set(['recordMove']),
    timesOfAType: [1],
  },
];

/** The first databases of all servers but the last, to which they go. */
export function firstOnes(fleet: TestFleet): readonly string[] {
  const { databases, servers } = fleet.dev.fleet;
  return servers.slice(0, -1).flatMap(({ name }) => {
    const first = databases.find(({ server }) => server === name);
    return first === undefined ? [] : [first.name];
  });
}

/** The other one of its server, by the fleet file. */
function secondOf(fleet: TestFleet, database: string): string {
  const { databases } = fleet.dev.fleet;
  const server = databases.find(({ name }) => name === database)?.server;
  const second = databases.find((one) => one.server === server && one.name !== database);
  if (second === undefined) throw new Error(`${database} is alone on ${server ?? '?'}.`);
  return second.name;
}

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
  const inParts = (text: string): string =>
    text.replaceAll(database, 'the first').replaceAll(secondOf(fleet, database), 'the second');
  if (end.how !== 'well') {
    const said = (end.runbook?.notes ?? []).filter((note) => note.includes(workflowId('moveDatabase', '')));
    return { problem: inParts(end.problem), said: said.map(inParts) };
  }
  const { moved, failed, after } = end.result as Relocated;
  return {
    moved: moved.map((one) => inParts(one.database)),
    leaderForks: moved.map(({ leaderForks }) => leaderForks),
    failed,
    after: after.kind,
  };
}

/** @returns the host of the follower, when a drain of it would move that database, the second one, and nothing else */
async function hostToDrain(fleet: TestFleet, database: string): Promise<string> {
  await allClosed(fleet);
  const databases = [database, secondOf(fleet, database)];
  await bringHome(fleet, databases);
  await firstIsLarger(fleet, database);
  for (const name of databases) {
    const { leader, follower } = partsOf(fleet, name);
    for (const one of [leader, follower]) {
      // What provisioning, or a move before this one, needed: every run begins with the same files.
      const files = processFiles(fleet.dev.data.host(at(one).host), name);
      for (const file of [files.data, `${files.data}.previous`, files.placement])
        rmSync(file, { force: true });
    }
  }
  const { host } = at(partsOf(fleet, database)['follower']);
  await waitFor(() => wouldMoveThem(fleet, databases, host), {
    deadlineMs: 120_000,
    what: `the agents to have seen ${databases.join(' and ')} on ${host}, and nothing else`,
    everyMs: 250,
  });
  return host;
}

/** In this order. */
async function wouldMoveThem(fleet: TestFleet, databases: readonly string[], host: string): Promise<boolean> {
  const { consul, fleet: file } = fleet.dev;
  const plan = planRelocation(await readRelocationState(consul, file.name, Date.now()), {
    kind: 'drain',
    host,
  });
  return (
    plan.kind === 'plan' &&
    plan.moves.map((move) => move.database).join() === databases.join() &&
    plan.moves.every((move) => move.to.server === file.servers.at(-1)?.name)
  );
}

const enlarged = new WeakMap<TestFleet, Set<string>>();

/** The largest is moved first. */
async function firstIsLarger(fleet: TestFleet, database: string): Promise<void> {
  const known = enlarged.get(fleet) ?? new Set();
  enlarged.set(fleet, known);
  if (known.has(database)) return;
  known.add(database);
  const where = await fleet.leader(database);
  await loadData({ ...fleet.application, where, megabytes: LARGER_BY_MB, seed: 1 });
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

/** Back to where the fleet file has them: all of one server. */
async function bringHome(fleet: TestFleet, all: readonly string[]): Promise<void> {
  const { databases, servers } = fleet.dev.fleet;
  const home = servers.find(({ name }) => name === databases.find((one) => one.name === all[0])?.server);
  if (home === undefined) throw new Error(`${all.join()} are not in the fleet file.`);
  const records = await Promise.all(all.map((database) => fleet.record(database)));
  const away = records.filter(({ server }) => server !== home.name);
  if (away.length === 0) return;
  for (const { name } of home.hosts) await closedHosts(fleet).end('host', name);
  const moves = away.map(async ({ database }) => {
    const request = { database, to: { server: home.name } };
    const subject = { fleet: fleet.dev.fleet.name, databases: [database] };
    const run = await startRunbook(fleet.dev.temporal, 'moveDatabase', database, request, subject);
    const end = await runbookEnd(fleet.dev.temporal, run);
    if (end.how !== 'well') throw new Error(`${database} did not come home: ${end.problem}`);
  });
  await Promise.all(moves);
  await close(fleet, home.hosts);
}

function closedHosts(fleet: TestFleet): MaintenanceStore {
  return maintenanceStore(fleet.dev.consul, fleet.dev.fleet.name);
}
