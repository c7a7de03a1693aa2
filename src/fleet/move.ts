/** Where a database moves to, and whether it may. Pure. */

import type { ProcessSpec } from '../activities/contracts.js';
import { backlogNeeded, configuredBacklog } from './backlog.js';
import { FleetError } from './errors.js';
import type { HostMemory, ProcessFacts } from './facts.js';
import type { Database, Fleet, Host, Server } from './fleet.js';
import { isPointedAt, linkTo } from './gates.js';
import { forkHeadroom, spendable } from './headroom.js';
import { endMaintenance, isOver, maintenanceText, type Maintenance } from './maintenance.js';
import { actualPlacement, hostsOf, zoneProblem } from './placement.js';
import { showSize } from './quantities.js';
import { sameEndpoint, showEndpoint, type DatabaseRecord, type Endpoint } from './record.js';
import type { ForkSample } from './relocation/state.js';
import type { MoveDatabaseRequest } from './requests.js';

export interface MovePlan {
  /** As it is before. */
  readonly record: DatabaseRecord & { readonly follower: Endpoint };
  /** Of the record afterwards. */
  readonly server: string;
  readonly leader: Endpoint;
  readonly follower: Endpoint;
  /** Of these the processes that are not there yet. */
  readonly newcomers: readonly Endpoint[];
  /** What is stopped and removed in the end. */
  readonly leaving: readonly Endpoint[];
  /** Further followers that the record has, and keeps. */
  readonly staying: readonly Endpoint[];
  /** But for its port, which is that of its endpoint. */
  readonly process: Omit<ProcessSpec, 'port'>;
}

/** With what the last forks of the database cost, oldest first. */
export interface MovePlanWithForks extends MovePlan {
  readonly forks: readonly ForkSample[];
}

/** @param now milliseconds since 1970. @throws FleetError NotFound, InvalidRequest */
export function planMove(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  maintenance: readonly Maintenance[],
  request: MoveDatabaseRequest,
  now: number,
): MovePlan {
  const { database } = request;
  const { record, maxmemory } = movable(fleet, records, request);
  const { server, hosts } = targetOf(fleet, request);
  for (const host of hosts) requireOpen(host, maintenance, now);
  const [first, second] = hosts;
  const zone =
    first.name === second.name ? 'a failure of that host would take both' : zoneProblem(first, second);
  if (zone !== null) {
    throw refused(
      `Database ${database} cannot be led by ${first.name} and followed on ${second.name}: ${zone}. Choose hosts of two zones.`,
    );
  }
  const { leader: from, follower, extraFollowers = [] } = record;
  const known = [from, follower, ...extraFollowers];
  const added = hosts.filter(({ name }) => known.every(({ host }) => host !== name));
  const port = request.port ?? freePort(fleet, records, added, from.port);
  const at = ({ name, address }: Host): Endpoint =>
    known.find(({ host }) => host === name) ?? { host: name, address, port };
  const [leads, follows] = [at(first), at(second)];
  if (sameEndpoint(leads, from)) {
    const instead = sameEndpoint(follows, follower)
      ? 'It is there already.'
      : `To have its follower elsewhere: redis-fleet bring-up ${database} --host ${follows.host}`;
    throw refused(
      `Database ${database} is led by ${from.host} already, so its leader need not move. ${instead}`,
    );
  }
  if (sameEndpoint(leads, follower) && sameEndpoint(follows, from)) {
    throw refused(
      `Database ${database} is on ${first.name} and ${second.name} already, with the roles swapped. Let its follower lead: redis-fleet switchover ${database}`,
    );
  }
  const kept = (one: Endpoint): boolean => sameEndpoint(one, leads) || sameEndpoint(one, follows);
  return {
    record,
    server: server.name,
    leader: leads,
    follower: follows,
    newcomers: added.map(at),
    leaving: [from, follower].filter((one) => !kept(one)),
    staying: extraFollowers.filter((one) => !kept(one)),
    process: { database, maxmemory, backlogBytes: configuredBacklog(maxmemory) },
  };
}

function movable(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  { database, expectedLeader }: MoveDatabaseRequest,
): { readonly record: MovePlan['record']; readonly maxmemory: number } {
  const known: Database | undefined = fleet.databases.find(({ name }) => name === database);
  if (known === undefined) {
    throw new FleetError(
      'NotFound',
      `Database ${database} is not in the applied fleet file of ${fleet.name}, so its size is unknown. ` +
        'Add it to the file and `redis-fleet apply` it; nothing was changed.',
    );
  }
  const record = records.find((one) => one.database === database);
  if (record === undefined || record.epoch === 0) {
    throw refused(
      `Database ${database} has no leader yet, so there is nothing to move. See: redis-fleet status`,
    );
  }
  if (expectedLeader !== undefined && record.leader.host !== expectedLeader) {
    throw refused(
      `Database ${database} is led by ${showEndpoint(record.leader)} since epoch ${record.epoch}, and not by ${expectedLeader} as was expected. ` +
        'Look who leads (redis-fleet status), and start again with what you find.',
    );
  }
  const { follower } = record;
  if (follower === null) {
    throw refused(
      `Database ${database} has no follower to copy from, and its leader on ${record.leader.host} is not made to fork. ` +
        `Bring one up first: redis-fleet bring-up ${database}`,
    );
  }
  return { record: { ...record, follower }, maxmemory: known.maxmemory };
}

/** The hosts: the future leader's first. */
function targetOf(
  fleet: Fleet,
  { database, to }: MoveDatabaseRequest,
): { readonly server: Server; readonly hosts: readonly [Host, Host] } {
  if ('server' in to) {
    const server = fleet.servers.find(({ name }) => name === to.server);
    if (server === undefined) {
      throw new FleetError(
        'NotFound',
        `There is no server ${to.server} in the applied fleet ${fleet.name}. Nothing was changed. Name one of ${fleet.servers.map(({ name }) => name).join(', ')}.`,
      );
    }
    const [first, second] = server.hosts;
    if (to.leader === undefined || to.leader === first.name) return { server, hosts: [first, second] };
    if (to.leader === second.name) return { server, hosts: [second, first] };
    throw refused(
      `Host ${to.leader} does not belong to server ${server.name}, which has ${first.name} and ${second.name}: database ${database} cannot be led there.`,
    );
  }
  const hosts = [hostNamed(fleet, to.leader), hostNamed(fleet, to.follower)] as const;
  const server = fleet.servers.find((one) => one.hosts.some(({ name }) => name === to.leader));
  if (server === undefined) throw new TypeError('a host belongs to a server');
  return { server, hosts };
}

function hostNamed(fleet: Fleet, name: string): Host {
  const hosts = hostsOf(fleet);
  const host = hosts.find((one) => one.name === name);
  if (host !== undefined) return host;
  throw new FleetError(
    'NotFound',
    `Host ${name} is not in the applied fleet file of ${fleet.name}. Nothing was changed. \`redis-fleet plan\` shows the file and what differs.`,
  );
}

function requireOpen({ name }: Host, maintenance: readonly Maintenance[], now: number): void {
  const covering = maintenance.find((one) => one.scope === 'host' && one.name === name && !isOver(one, now));
  if (covering === undefined) return;
  throw refused(
    `Nothing is moved to ${name}: ${maintenanceText(covering)}. Choose another host, or end it: ${endMaintenance(covering)}`,
  );
}

/** That of the leader, or the next one that nobody has on these hosts. */
function freePort(
  fleet: Fleet,
  records: readonly DatabaseRecord[],
  hosts: readonly Host[],
  wanted: number,
): number {
  const taken = new Set(
    actualPlacement(fleet, records)
      .filter(({ host }) => hosts.some(({ name }) => name === host))
      .map(({ port }) => port),
  );
  let port = wanted;
  while (taken.has(port)) port += 1;
  return port;
}

/** Bytes of its stream that a follower may lack for its data to be taken as those of its leader. */
const MOST_LAG = 16 * 1024 ** 2;
/** A follower acknowledges every second. Seconds. */
const MOST_SILENCE_S = 5;

/** Why the follower cannot give its data now; null: it can. A sentence that says what to do. */
export function sourceProblem(
  { record: { database, leader: at, follower: from }, process: { maxmemory } }: MovePlan,
  leader: ProcessFacts,
  follower: ProcessFacts,
): string | null {
  if (leader.role !== 'leader' || leader.loading) {
    return `${showEndpoint(at)} does not lead ${database} as its record says, or still loads its data. See: redis-fleet check`;
  }
  const who = `The follower of ${database}, ${showEndpoint(from)},`;
  const bringUp = `Bring it up first: redis-fleet bring-up ${database}`;
  const { link } = follower;
  if (!isPointedAt(follower, at) || link?.up !== true || link.synchronising || follower.loading) {
    return `${who} is not connected to its leader ${showEndpoint(at)}. ${bringUp}`;
  }
  const seen = linkTo(leader, from);
  if (seen?.state !== 'online' || follower.position.id !== leader.position.id) {
    return `${who} is not connected to its leader in the leader's own eyes. ${bringUp}`;
  }
  const lag = leader.position.offset - follower.position.offset;
  if (lag > MOST_LAG || seen.lag > MOST_SILENCE_S) {
    return `${who} is ${lag} bytes behind its leader and last acknowledged ${seen.lag} s ago. Wait until it has caught up (redis-fleet status), then start again.`;
  }
  const unlimited = maxmemory === 0;
  if (!unlimited && (leader.maxmemory === 0 || maxmemory < leader.maxmemory)) {
    return (
      `The leader of ${database}, ${showEndpoint(at)}, may use ${showLimit(leader.maxmemory)}, and the fleet file gives it ${showLimit(maxmemory)}: ` +
      'a new leader would refuse writes that this one takes. Change maxmemory in the file and `redis-fleet apply` it, or on the leader.'
    );
  }
  return null;
}

function showLimit(maxmemory: number): string {
  return maxmemory === 0 ? 'any amount of memory' : showSize(maxmemory);
}

/** What a copy needs beside the data: allocator, backlog, buffers of clients. */
const OVERHEAD_SHARE = 0.1;

/** What a copy of this data set takes of a host's memory. Bytes. */
export function sizeOfCopy({ usedMemory }: Pick<ProcessFacts, 'usedMemory'>): number {
  return Math.ceil(usedMemory * (1 + OVERHEAD_SHARE));
}

/**
 * Why a host cannot take a copy, and keep it; null: it can.
 * @param forkShare of used memory, that a fork costs there; 0: it will not be the one that backups are taken on
 */
export function roomProblem(
  { database }: Pick<DatabaseRecord, 'database'>,
  { host }: Endpoint,
  memory: HostMemory,
  facts: ProcessFacts,
  forkShare: number,
): string | null {
  const size = sizeOfCopy(facts);
  const left = spendable(memory) - size;
  if (left < 0) {
    return `${database} needs ${showSize(size)} on ${host}, which is ${showSize(-left)} short of that. Nothing was started. Choose another host.`;
  }
  if (forkShare === 0) return null;
  const after = { ...memory, available: memory.available - size };
  const fork = forkHeadroom(after, facts.usedMemory * forkShare);
  return fork.fits
    ? null
    : `${database} fits on ${host}, but a fork of it for a backup does not: ${showSize(fork.short)} are missing. Nothing was started. Choose another host.`;
}

/** From the moment in which a new process has all of the follower's stream until it goes on with the leader's. Seconds. */
const REPOINTED_WITHIN_S = 10;

export type BacklogVerdict =
  { readonly fits: true; readonly bytes: number } | { readonly fits: false; readonly why: string };

/** The leader's backlog that surely covers the moment in which the new processes are pointed at it. */
export function backlogForMove(
  leader: { readonly endpoint: Endpoint; readonly facts: ProcessFacts; readonly memory: HostMemory },
  follower: Pick<ProcessFacts, 'position'>,
  writeRate: number,
): BacklogVerdict {
  const { endpoint, facts, memory } = leader;
  const lag = Math.max(0, facts.position.offset - follower.position.offset);
  const needed = backlogNeeded(lag, writeRate, REPOINTED_WITHIN_S);
  const growth = needed - facts.backlog.size;
  if (growth <= 0) return { fits: true, bytes: facts.backlog.size };
  if (growth <= spendable(memory)) return { fits: true, bytes: needed };
  return {
    fits: false,
    why:
      `At ${showSize(Math.round(writeRate))} a second the backlog of ${showEndpoint(endpoint)} would have to grow by ${showSize(growth)}, ` +
      'and its host has not that much to give. Nothing was changed.',
  };
}

function refused(why: string): FleetError {
  return new FleetError(
    'InvalidRequest',
    /Nothing was changed/.test(why) ? why : `${why} Nothing was changed.`,
  );
}
