/** What Consul's catalog shall say about a host's processes: the record decides who leads, never the process. */

import type { HostProcess } from '../fleet/facts.js';
import { sameEndpoint, type DatabaseRecord, type Endpoint } from '../fleet/record.js';
import type { Registration } from '../records/catalog.js';

export interface CatalogChanges {
  readonly register: readonly Registration[];
  readonly deregister: readonly Registration[];
}

export interface CatalogInput {
  readonly fleet: string;
  readonly records: readonly DatabaseRecord[];
  /** Databases whose record cannot be read: what is registered for them stays. */
  readonly unknown: ReadonlySet<string>;
  readonly processes: readonly HostProcess[];
  /** What the catalog says about this host now. */
  readonly registered: readonly Registration[];
}

export function catalogChanges(input: CatalogInput): CatalogChanges {
  const records = new Map(input.records.map((record) => [record.database, record]));
  const wanted = input.processes.flatMap((process): Registration[] => {
    const record = records.get(process.database);
    if (process.state !== 'running' || record === undefined) return [];
    const role = roleInRecord(record, process.endpoint);
    if (role === null) return [];
    return [
      {
        fleet: input.fleet,
        database: process.database,
        role,
        endpoint: process.endpoint,
        epoch: record.epoch,
      },
    ];
  });
  const decided = input.registered.filter(({ database }) => !input.unknown.has(database));
  return {
    register: wanted.filter((one) => !decided.some((other) => same(one, other))),
    deregister: decided.filter(({ database }) => !wanted.some((one) => one.database === database)),
  };
}

/** null: nobody shall be sent to that process. */
function roleInRecord(record: DatabaseRecord, endpoint: Endpoint): Registration['role'] | null {
  // Nobody leads yet.
  if (record.epoch === 0) return null;
  if (sameEndpoint(record.leader, endpoint)) return 'leader';
  const followers = [record.follower, ...(record.extraFollowers ?? [])];
  return followers.some((follower) => follower !== null && sameEndpoint(follower, endpoint))
    ? 'follower'
    : null;
}

function same(one: Registration, other: Registration): boolean {
  return (
    one.database === other.database &&
    one.role === other.role &&
    one.epoch === other.epoch &&
    sameEndpoint(one.endpoint, other.endpoint)
  );
}
