/** A server comes to life: nobody forks, nobody else's port or data is touched, and a second time changes nothing. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { Host } from '../../src/fleet/fleet.js';
import { recordStore } from '../../src/records/databases.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import type { ProvisionedServer } from '../../src/workflows/provisionServer.js';
import { cli } from './cliRunner.js';
import {
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectAtRest,
  expectNoSecrets,
  failed,
  filesOf,
  gates,
  SHUT,
} from './bringUpStage.js';

const SERVER = 'redis-01';
const FIRST = 'sessions-00';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 2, name: 'provision', apply: false });
});
afterAll(async () => {
  await fleet.stop();
});

function hosts(): readonly [Host, Host] {
  const server = fleet.dev.fleet.servers[0];
  if (server === undefined) throw new Error('the fleet file has no server');
  return server.hosts;
}

async function provision(): Promise<string> {
  const { workflowId } = await startRunbook(
    fleet.dev.temporal,
    'provisionServer',
    SERVER,
    { server: SERVER },
    { fleet: fleet.dev.fleet.name, servers: [SERVER] },
  );
  return workflowId;
}

describe('a server of a fleet file', () => {
  test('that nobody applied is refused, with what to do', async () => {
    const { kind, problem } = await failed(fleet, await provision());
    expect(kind).toBe('NotFound');
    expect(problem).toContain('redis-fleet apply');
  });

  test('with a port of its follower taken is not begun: nothing is started and no record is left', async () => {
    const [leads, follows] = hosts();
    const squatter = createServer().listen({ host: follows.address, port: 6300 });
    await once(squatter, 'listening');
    const run = await cli({ ...fleet.dev.env, USER: 'ann' }, ['apply']);
    squatter.close();
    await once(squatter, 'close');
    expect(run.code).toBe(1);
    expect(run.out).toContain(`${follows.name} (${follows.address}:6300)`);
    expect(run.out).toContain('the port is in use');
    expect((await recordStore(fleet.dev.consul, fleet.dev.fleet.name).list()).records).toEqual([]);
    for (const { name } of [leads, follows]) expect(fleet.pidOf(FIRST, name)).toBeNull();
  });

  test('comes up without a fork from birth, gated on all sides, and takes writes', async () => {
    const run = await cli({ ...fleet.dev.env, USER: 'ann' }, ['apply']);
    expect(run.code).toBe(0);
    for (const database of fleet.databases) {
      const record = await fleet.record(database);
      expect(record).toMatchObject({ epoch: 1, server: SERVER });
      const leader = await fleet.facts(record.leader);
      expect(leader).toMatchObject({ role: 'leader', totalForks: 0 });
      await loadData({ ...fleet.application, where: record.leader, megabytes: 1, seed: 1 });
      const follower = await caughtUpFollower(fleet, database);
      const followed = await fleet.facts(follower);
      expect(followed).toMatchObject({ role: 'follower', totalForks: 0 });
      expect(followed.keys).toBe((await fleet.facts(record.leader)).keys);
      expect(await gates(fleet, record.leader)).toEqual(SHUT);
      await expectAtRest(fleet, database);
      expect(existsSync(filesOf(fleet, database, follower).configuration)).toBe(true);
    }
  });

  test('is left alone by a second provisioning', async () => {
    const before = await Promise.all(fleet.databases.map((database) => fleet.record(database)));
    const end = await runbookEnd(fleet.dev.temporal, { workflowId: await provision() });
    if (end.how !== 'well') throw new Error(end.problem);
    expect(end.result as ProvisionedServer).toEqual({
      server: SERVER,
      provisioned: [],
      leftAlone: fleet.databases,
      leaderForks: 0,
    });
    expect(await Promise.all(fleet.databases.map((database) => fleet.record(database)))).toEqual(before);
    const { way } = await broughtUp(fleet, await bringUp(fleet, { database: FIRST }));
    expect(way).toBe('following');
  });

  test('left no password behind', async () => {
    expect(await expectNoSecrets(fleet)).toBeGreaterThan(3);
  });
});
