/** What a watch of one server's memory reads of a fleet that may be large: little, unless something is amiss. */

import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryWatch } from '../../src/activities/watch/memoryWatch.js';
import type { FleetConsul } from '../../src/connections/consul.js';
import type { HostReport } from '../../src/fleet/facts.js';
import type { Fleet } from '../../src/fleet/fleet.js';
import { emptyHistory } from '../../src/fleet/memoryHistory.js';
import { consulKeys } from '../../src/fleet/names.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import type { ForkSample } from '../../src/fleet/relocation/state.js';
import { ABSENT, recordStore } from '../../src/records/databases.js';
import { memoryStore } from '../../src/records/memory.js';
import { readObserved, readReported } from '../../src/records/observed.js';
import { reportStore } from '../../src/records/reports.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';
import { MiB } from '../unit/facts.js';
import { endpoint, NOW, recordsOf, reportsOf } from '../unit/fleetReports.js';
import { fleetOf } from '../unit/fleetText.js';

const fleet: Fleet = fleetOf([
  'databases:',
  `  - name: redis-03
    hosts:
      - { name: redis-03-a, zone: az-a, address: 127.0.3.1, memory: 1GiB }
      - { name: redis-03-b, zone: az-b, address: 127.0.3.2, memory: 1GiB }
databases:`,
]);
const keys = consulKeys(fleet.name);
/** carts-00 of redis-02 is about to move: it has a follower on redis-01-b already. */
const records: readonly DatabaseRecord[] = recordsOf(fleet).map((record) =>
  record.database === 'carts-00'
    ? { ...record, extraFollowers: [endpoint(fleet, 'redis-01-b', record.leader.port)] }
    : record,
);

let consul: TestConsul;
let connection: Connection;

beforeAll(async () => {
  consul = await startTestConsul();
  // Nobody is asked there: a relocation is started in none of these stories.
  connection = Connection.lazy({ address: '127.0.0.1:1' });
  const [recorded, memory] = [recordStore(consul.consul, fleet.name), memoryStore(consul.consul, fleet.name)];
  for (const record of records) await recorded.compareAndSet(record, ABSENT);
  for (const report of reportsOf(fleet)) {
    await publish(report);
    await memory.publish(emptyHistory(report.host));
  }
});
afterAll(async () => {
  await connection.close();
  await consul.stop();
});

async function publish(report: HostReport): Promise<void> {
  await reportStore(consul.consul, fleet.name).publish(report);
}

/** Everything that runs there stays; only so much is available. */
async function availableOn(host: string, available: number): Promise<void> {
  const report = reportsOf(fleet).find((one) => one.host === host);
  if (report === undefined) throw new Error(`There is no ${host}.`);
  await publish({ ...report, memory: { ...report.memory, available } });
}

function watchOf(server: string, settings: Partial<Fleet['relocation']> = {}) {
  const read: string[] = [];
  const told: string[] = [];
  const counted: FleetConsul = {
    address: consul.consul.address,
    call(what, request) {
      read.push(what.replace('read ', ''));
      return consul.consul.call(what, request);
    },
    close: () => undefined,
  };
  const note = (text: unknown): void => void told.push(String(text));
  const watch = new MemoryWatch({
    server,
    surroundings: {
      known: true,
      fleet: { ...fleet, relocation: { ...fleet.relocation, ...settings } },
      records,
      maintenance: [],
    },
    observe: (hosts) => readReported(counted, fleet.name, hosts),
    observeAll: () => readObserved(counted, fleet.name),
    temporal: new Client({ connection }),
    workflowIdOf: (host) => host,
    start: () => Promise.reject(new Error('A relocation was started.')),
    log: { info: note, warn: note },
  });
  return { look: () => watch.look(NOW), read, told };
}

function reportedBy(hosts: readonly string[]): string[] {
  return hosts.flatMap((host) => [keys.memory(host), keys.report(host)]).sort();
}

test('where all is well: only its own hosts, and those of databases that have a process on them', async () => {
  const idle = watchOf('redis-03');
  expect(await idle.look()).toEqual({ call: false, why: null });
  expect(idle.read.sort()).toEqual(reportedBy(['redis-03-a', 'redis-03-b']));

  const receiving = watchOf('redis-01');
  expect(await receiving.look()).toEqual({ call: false, why: null });
  expect(receiving.read.sort()).toEqual(reportedBy(['redis-01-a', 'redis-01-b', 'redis-02-a', 'redis-02-b']));
});

test('where something is amiss: the whole fleet, before it is an alarm', async () => {
  await availableOn('redis-01-a', 200 * MiB);
  const settings = { policy: 'off' } as const;
  const full = watchOf('redis-01', settings);
  expect((await full.look())?.why).toMatch(/on host redis-01-a .* fits no longer/);
  expect(full.read).toEqual(expect.arrayContaining([keys.memory(''), keys.report('')]));
  expect(full.told).toHaveLength(1);

  // They came from there, where their forks were seen to cost next to nothing.
  const forks = ['sessions-00', 'sessions-01'].map((database): ForkSample => ({
    database,
    port: 6300,
    at: NOW - 60_000,
    seconds: 1,
    copyOnWrite: MiB,
    usedMemory: 200 * MiB,
    writeRate: 0,
  }));
  await memoryStore(consul.consul, fleet.name).publish({ ...emptyHistory('redis-03-a'), forks });
  const moved = watchOf('redis-01', settings);
  expect(await moved.look()).toEqual({ call: false, why: null });
  expect(moved.told).toEqual([]);
});
