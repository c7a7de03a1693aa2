/** As much of a fleet as the memory of one server's hosts depends on. Pure. */

import type { Fleet, Server } from '../fleet.js';
import type { DatabaseRecord } from '../record.js';
import { hostsOfDatabase } from './outlook.js';

export interface Nearby {
  /** With that server alone, and what the file says of the databases below. */
  readonly fleet: Fleet;
  /** Of every database that has a process on one of its hosts. */
  readonly records: readonly DatabaseRecord[];
  /** Its own, and all others on which these databases have a process. */
  readonly hosts: readonly string[];
}

export function nearby(server: Server, fleet: Fleet, records: readonly DatabaseRecord[]): Nearby {
  const own = new Set(server.hosts.map(({ name }) => name));
  const touching = records.filter((record) => hostsOf(record).some((host) => own.has(host)));
  const names = new Set(touching.map(({ database }) => database));
  return {
    fleet: {
      ...fleet,
      servers: [server],
      databases: fleet.databases.filter(({ name }) => names.has(name)),
    },
    records: touching,
    hosts: [...new Set([...own, ...touching.flatMap(hostsOf)])],
  };
}

function hostsOf({ leader, follower, extraFollowers = [] }: DatabaseRecord): string[] {
  return hostsOfDatabase({ leader, follower, extraFollowers });
}
