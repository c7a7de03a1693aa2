/** Where a follower shall run. Pure. */

import type { Fleet, Host } from './fleet.js';
import { FleetError } from './errors.js';
import { zoneProblem } from './placement.js';
import type { DatabaseRecord } from './record.js';
import type { Placement } from '../activities/contracts.js';

/**
 * On `wanted`; else where the record has the follower; else on the other host of the leader's server. On the port that
 * the record gives it there, else the one of the fleet file.
 * @throws FleetError NotFound, InvalidRequest
 */
export function placeFollower(fleet: Fleet, record: DatabaseRecord, wanted?: string): Placement {
  const database = fleet.databases.find(({ name }) => name === record.database);
  if (!database) {
    throw new FleetError(
      'NotFound',
      `Database ${record.database} is not in the applied fleet file of ${fleet.name}, so its size and port are unknown. ` +
        'Add it to the file and `redis-fleet apply` it; nothing was changed.',
    );
  }
  if (record.epoch === 0) {
    throw new FleetError(
      'InvalidRequest',
      `Database ${record.database} is still being provisioned and has no leader yet. ` +
        `Look at its provisioning: \`redis-fleet runbook show ${record.operation?.workflowId ?? `provisionServer/${record.server}`}\`.`,
    );
  }
  const leaderHost = hostNamed(fleet, record.leader.host, `which leads database ${record.database}`);
  const followerHost =
    wanted === undefined
      ? defaultHost(fleet, record)
      : hostNamed(fleet, wanted, `which was asked for as the follower of database ${record.database}`);
  const forbidden =
    followerHost.name === leaderHost.name
      ? `host ${leaderHost.name} leads it, and would take both when it fails`
      : zoneProblem(leaderHost, followerHost);
  if (forbidden !== null) {
    throw new FleetError(
      'InvalidRequest',
      `The follower of database ${record.database} cannot be on ${followerHost.name}: ${forbidden}. ` +
        `Choose a host in another zone, e.g. ${otherZones(fleet, leaderHost)}. Nothing was changed.`,
    );
  }
  const known = [record.follower, ...(record.extraFollowers ?? [])].find(
    (endpoint) => endpoint?.host === followerHost.name,
  );
  return {
    record,
    database,
    leaderHost,
    followerHost,
    follower: {
      host: followerHost.name,
      address: followerHost.address,
      port: known?.port ?? database.port,
    },
    store: fleet.backups.store,
  };
}

function defaultHost(fleet: Fleet, record: DatabaseRecord): Host {
  if (record.follower !== null) {
    return hostNamed(
      fleet,
      record.follower.host,
      `where the record has the follower of database ${record.database}`,
    );
  }
  const server = fleet.servers.find(({ hosts }) => hosts.some(({ name }) => name === record.leader.host));
  const partner = server?.hosts.find(({ name }) => name !== record.leader.host);
  if (partner) return partner;
  throw new FleetError(
    'NotFound',
    `Host ${record.leader.host}, which leads database ${record.database}, belongs to no server of the applied fleet file. ` +
      'Name the follower\'s host in the request: {"database":"…","host":"…"}.',
  );
}

function hostNamed(fleet: Fleet, name: string, role: string): Host {
  const host = fleet.servers.flatMap(({ hosts }) => hosts).find((candidate) => candidate.name === name);
  if (host) return host;
  throw new FleetError(
    'NotFound',
    `Host ${name}, ${role}, is not in the applied fleet file of ${fleet.name}. \`redis-fleet plan\` shows the file and what differs.`,
  );
}

function otherZones(fleet: Fleet, leaderHost: Host): string {
  const names = fleet.servers
    .flatMap(({ hosts }) => hosts)
    .filter(({ zone }) => zone !== leaderHost.zone)
    .map(({ name }) => name);
  return names.length === 0 ? 'one that is not in the fleet file yet' : names.slice(0, 3).join(', ');
}
