/** Records and host reports of a fleet that is well, to start a story from. */

import type { HostReport, ProcessFacts } from '../../src/fleet/facts.js';
import type { Database, Fleet } from '../../src/fleet/fleet.js';
import { hostsOf } from '../../src/fleet/placement.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { processFacts } from './facts.js';

export const NOW = Date.parse('2026-11-22T12:00:00Z');
export const GiB = 1024 ** 3;

export function endpoint(fleet: Fleet, host: string, port: number): Endpoint {
  const address = hostsOf(fleet).find(({ name }) => name === host)?.address;
  if (address === undefined) throw new Error(`The fleet has no host ${host}.`);
  return { host, address, port };
}

export function recordOf(fleet: Fleet, database: Database): DatabaseRecord {
  const server = fleet.servers.find(({ name }) => name === database.server);
  if (server === undefined) throw new Error(`The fleet has no server ${database.server}.`);
  const [leader, follower] = server.hosts;
  return {
    database: database.name,
    server: database.server,
    epoch: 1,
    leader: endpoint(fleet, leader.name, database.port),
    follower: endpoint(fleet, follower.name, database.port),
    updatedAt: '2026-11-22T11:00:00Z',
    updatedBy: `provisionServer/${database.server}`,
  };
}

export function recordsOf(fleet: Fleet): DatabaseRecord[] {
  return fleet.databases.map((database) => recordOf(fleet, database));
}

export function followerFacts(record: DatabaseRecord, changes: Partial<ProcessFacts> = {}): ProcessFacts {
  const { address, port } = record.leader;
  const { position } = processFacts();
  return processFacts({
    role: 'follower',
    link: { address, port, up: true, synchronising: false, offset: position.offset },
    ...changes,
  });
}

/** Every agent reported just now, and every process that a record names runs in its role. */
export function reportsOf(fleet: Fleet, records: readonly DatabaseRecord[] = recordsOf(fleet)): HostReport[] {
  return hostsOf(fleet).map(({ name: host, memory }) => ({
    host,
    at: new Date(NOW - 2_000).toISOString(),
    memory: { total: memory, available: memory / 2 },
    diskAvailable: 100 * GiB,
    processes: records.flatMap((record) =>
      [record.leader, record.follower].flatMap((one) =>
        one?.host !== host
          ? []
          : [
              {
                database: record.database,
                endpoint: one,
                state: 'running' as const,
                pid: 4242,
                residentMemory: 210 * 1024 ** 2,
                lastWords: null,
                facts: one === record.leader ? processFacts() : followerFacts(record),
              },
            ],
      ),
    ),
  }));
}
