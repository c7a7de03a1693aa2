/** Where a restored database goes: in place of itself, or beside. Pure. */

import { configuredBacklog } from './backlog.js';
import { FleetError } from './errors.js';
import type { Fleet, Host } from './fleet.js';
import type { DatabaseRecord, Endpoint } from './record.js';
import { sameEndpoint } from './record.js';
import type { RestoreDatabaseRequest } from './requests.js';
import type { ProcessSpec } from '../activities/contracts.js';

export interface RestorePlace {
  /** What it is called then. */
  readonly database: string;
  readonly server: string;
  readonly leader: Endpoint;
  /** null: the fleet has no host for one. */
  readonly follower: Endpoint | null;
  /** But for its port, which is that of its endpoint. */
  readonly process: Omit<ProcessSpec, 'port'>;
  /** In place: the record as it is. Beside: null. */
  readonly record: DatabaseRecord | null;
}

const FIRST_PORT = 6300;

/** @throws FleetError NotFound, InvalidRequest */
export function placeRestore(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  request: RestoreDatabaseRequest,
): RestorePlace {
  const { into = 'in-place' } = request;
  return into === 'in-place'
    ? placeInPlace(fleet, records, request)
    : placeBeside(fleet, records, request, into);
}

function placeInPlace(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  { database, host }: RestoreDatabaseRequest,
): RestorePlace {
  const record = records.find((one) => one.database === database);
  const maxmemory = maxmemoryOf(fleet, database);
  if (record === undefined || record.epoch === 0) {
    throw new FleetError(
      'NotFound',
      `Database ${database} ${record === undefined ? 'has no record' : 'is still being provisioned'} in fleet ${fleet.name}, so there is nothing to restore in place of. ` +
        `Nothing was changed. Restore it as a new database: redis-fleet restore ${database} --into ${database}-restored`,
    );
  }
  if (maxmemory === null) throw unknownSize(fleet, database);
  const partner = record.follower ?? partnerOf(fleet, record);
  const leader =
    host === undefined ? record.leader : [record.leader, partner].find((one) => one?.host === host);
  if (leader == null) {
    throw new FleetError(
      'InvalidRequest',
      `${host ?? ''} has no part in database ${database}, which is on ${[record.leader.host, ...(partner === null ? [] : [partner.host])].join(' and ')}. ` +
        'Nothing was changed. Name one of these, or restore it as a new database beside the old one.',
    );
  }
  return {
    database,
    server: record.server,
    leader,
    follower: sameEndpoint(leader, record.leader) ? partner : record.leader,
    process: { database, maxmemory, backlogBytes: configuredBacklog(maxmemory) },
    record,
  };
}

function placeBeside(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  { database: source }: RestoreDatabaseRequest,
  { database, server: wanted, port }: Exclude<NonNullable<RestoreDatabaseRequest['into']>, string>,
): RestorePlace {
  const existing = records.find((one) => one.database === database);
  if (existing !== undefined && existing.epoch > 0) {
    throw new FleetError(
      'InvalidRequest',
      `There is a database ${database} already, led by ${existing.leader.host}: a restore beside the old one needs a name that ` +
        `nobody has. Nothing was changed. To replace what ${database} holds: redis-fleet restore ${source} in place.`,
    );
  }
  const inFile = fleet.databases.find(({ name }) => name === database);
  const ofSource =
    records.find((one) => one.database === source)?.server ??
    fleet.databases.find(({ name }) => name === source)?.server;
  const name = wanted ?? inFile?.server ?? ofSource;
  const server = fleet.servers.find((one) => one.name === name);
  if (server === undefined) {
    throw new FleetError(
      'NotFound',
      `${name === undefined ? `Nobody knows on which server ${source} was` : `There is no server ${name}`} in the applied fleet ${fleet.name}. Nothing was changed. ` +
        `Name one: ${fleet.servers.map((one) => one.name).join(', ')}.`,
    );
  }
  const maxmemory = inFile?.maxmemory ?? maxmemoryOf(fleet, source);
  if (maxmemory === null) throw unknownSize(fleet, source);
  const [first, second] = server.hosts;
  const chosen = port ?? inFile?.port ?? freePort(fleet, records, [first, second]);
  const at = ({ name: host, address }: Host): Endpoint => ({ host, address, port: chosen });
  return {
    database,
    server: server.name,
    leader: at(first),
    follower: at(second),
    process: { database, maxmemory, backlogBytes: configuredBacklog(maxmemory) },
    record: null,
  };
}

function maxmemoryOf(fleet: Fleet, database: string): number | null {
  return fleet.databases.find(({ name }) => name === database)?.maxmemory ?? null;
}

function unknownSize(fleet: Fleet, database: string): FleetError {
  return new FleetError(
    'NotFound',
    `Database ${database} is not in the applied fleet file of ${fleet.name}, so its size is unknown. ` +
      'Add it to the file and `redis-fleet apply` it; nothing was changed.',
  );
}

function partnerOf(fleet: Fleet, { leader, database }: DatabaseRecord): Endpoint | null {
  const server = fleet.servers.find(({ hosts }) => hosts.some(({ name }) => name === leader.host));
  const partner = server?.hosts.find(({ name }) => name !== leader.host);
  const port = fleet.databases.find(({ name }) => name === database)?.port ?? leader.port;
  return partner === undefined ? null : { host: partner.name, address: partner.address, port };
}

/** One that no database of the file or of a record has on these hosts. */
function freePort(fleet: Fleet, records: readonly DatabaseRecord[], hosts: readonly Host[]): number {
  const taken = new Set([
    ...fleet.databases.map(({ port }) => port),
    ...records.flatMap(({ leader, follower, extraFollowers = [] }) =>
      [leader, ...(follower === null ? [] : [follower]), ...extraFollowers]
        .filter(({ host }) => hosts.some(({ name }) => name === host))
        .map(({ port }) => port),
    ),
  ]);
  let port = Math.max(FIRST_PORT - 1, ...fleet.databases.map((one) => one.port)) + 1;
  while (taken.has(port)) port += 1;
  return port;
}
