/** The ways in which a follower is brought up, and what makes each of them necessary. */

import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BLACK_HOLE } from '../../src/fleet/gates.js';
import { workflowId } from '../../src/fleet/names.js';
import type { Endpoint } from '../../src/fleet/record.js';
import type { BringUpFollowerRequest } from '../../src/fleet/requests.js';
import { processFiles } from '../../src/host/layout.js';
import { recordStore } from '../../src/records/databases.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { makeBackup } from '../../src/testbed/backups.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import type { Parts } from './endState.js';
import type { Procedure } from './procedure.js';
import { at, killProcess, partsOf, tell } from './stage.js';

/** Less than any bring-up wants, so that each has to widen it. */
export const SMALL_BACKLOG = 1024 * 1024;

interface Way {
  readonly name: string;
  readonly needs: (
    fleet: TestFleet,
    database: string,
    parts: Parts,
  ) => Promise<Partial<BringUpFollowerRequest>>;
  /** Beside the leader and the follower: a follower of the same database on another server. */
  readonly hasThird?: true;
  readonly forksOn?: string;
  readonly update?: 'abort';
  readonly killedAfter?: ReadonlySet<string>;
  readonly besides?: NonNullable<Procedure['besides']>;
}

const WAYS: readonly Way[] = [
  {
    name: 'from its own files',
    async needs(fleet, database, { follower }) {
      await saveAndKill(fleet, database, follower);
      return { way: 'own-files' };
    },
  },
  {
    name: 'while its process runs',
    async needs(fleet, _, { follower }) {
      await tell(fleet, follower, (redis) => redis.replicaof(BLACK_HOLE.address, BLACK_HOLE.port));
      return { way: 'own-files' };
    },
  },
  {
    name: 'from a backup',
    async needs(fleet, database, { follower }) {
      const folder = path.join(fleet.dev.data.root, 'backups');
      mkdirSync(folder, { recursive: true });
      const file = path.join(folder, `${database}.rdb`);
      cpSync(await fleet.save(database, at(follower)), file);
      await killProcess(fleet, database, follower);
      return { way: 'backup', backup: { file } };
    },
  },
  {
    name: 'from the store',
    killedAfter: new Set(['fetchBackup', 'placeBackup', 'discardFetched']),
    async needs(fleet, database, { follower }) {
      await makeBackup(fleet, database);
      await killProcess(fleet, database, follower);
      rmSync(processFiles(fleet.dev.data.host(at(follower).host), database).data);
      return {};
    },
    // What it brought to the host must be gone.
    besides: (fleet, database) => {
      const { follower } = partsOf(fleet, database);
      const folder = path.join(fleet.dev.data.host(at(follower).host), '.fetched', database);
      return Promise.resolve({ fetched: existsSync(folder) });
    },
  },
  {
    name: 'by chain',
    hasThird: true,
    forksOn: 'follower',
    async needs(fleet, database, { follower, third }) {
      const target = at(third);
      const files = processFiles(fleet.dev.data.host(target.host), database);
      mkdirSync(files.directory, { recursive: true });
      cpSync(await fleet.save(database, at(follower)), files.data);
      return { way: 'chain', host: target.host };
    },
  },
  {
    name: 'by a full synchronisation',
    forksOn: 'leader',
    async needs(fleet, database, { follower }) {
      await saveAndKill(fleet, database, follower);
      const approval = { by: 'ann', reason: 'the leader has room' };
      return { way: 'full', approved: { 'synchronise from the leader': approval } };
    },
  },
  {
    name: 'aborted while it waits for approval',
    update: 'abort',
    async needs(fleet, database, { follower }) {
      await saveAndKill(fleet, database, follower);
      return { way: 'full' };
    },
  },
];

export const BRING_UPS: readonly Procedure[] = WAYS.map((way) => {
  const { name, needs, hasThird, forksOn, update, killedAfter, besides } = way;
  const parts: Procedure['parts'] = (fleet, database) => partsOf(fleet, database, hasThird ?? false);
  return {
    name: `bringUpFollower ${name}`,
    type: 'bringUpFollower',
    writes: 'meanwhile',
    parts,
    ...(forksOn === undefined ? {} : { forksOn }),
    ...(update === undefined ? {} : { update }),
    ...(killedAfter === undefined ? {} : { killedAfter }),
    ...(besides === undefined ? {} : { besides }),
    async prepare(fleet, database) {
      await makeWhole(fleet, database);
      const found = parts(fleet, database);
      const wanted = await needs(fleet, database, found);
      await tell(fleet, found['leader'], (redis) => redis.config('SET', 'repl-backlog-size', SMALL_BACKLOG));
      return { name: database, request: { database, ...wanted } };
    },
  };
});

/** A leader and a linked follower on their own server, and nothing else, whatever the run before left. */
async function makeWhole(fleet: TestFleet, database: string): Promise<void> {
  const { follower, third } = partsOf(fleet, database, true);
  await killProcess(fleet, database, third);
  rmSync(processFiles(fleet.dev.data.host(at(third).host), database).directory, {
    recursive: true,
    force: true,
  });
  await forgetExtraFollowers(fleet, database);
  // What provisioning noted there would be settled by the first bring-up, and be missing from the second on.
  rmSync(processFiles(fleet.dev.data.host(at(follower).host), database).placement, { force: true });
  if (fleet.pidOf(database, at(follower).host) !== null) return;
  const { temporal } = fleet.dev;
  await startRunbook(temporal, 'bringUpFollower', database, { database }, { fleet: fleet.dev.fleet.name });
  await temporal.workflow.getHandle(workflowId('bringUpFollower', database)).result();
}

async function forgetExtraFollowers(fleet: TestFleet, database: string): Promise<void> {
  const records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  const stored = await records.read(database);
  if (stored?.record.extraFollowers === undefined) return;
  const { extraFollowers, ...record } = stored.record;
  if (extraFollowers.length > 0 && !(await records.compareAndSet(record, stored.modifyIndex)))
    throw new Error(`${database} changed.`);
}

async function saveAndKill(
  fleet: TestFleet,
  database: string,
  follower: Endpoint | undefined,
): Promise<void> {
  await fleet.save(database, at(follower));
  await killProcess(fleet, database, follower);
}
