/** Where databases go: to servers that stay safe with them. Pure but for the world's reservations. */

import { arrivingBytes } from './moveCost.js';
import { hostsOfDatabase, usedAt } from './outlook.js';
import type { Resident } from './outlook.js';
import type { Pair } from './plan.js';
import { arrive, hasPort, hasRoomFor, leave, spareOf } from './world.js';
import type { PlannedHost, PlannedServer, World } from './world.js';

/** So many of the roomiest servers are tried for each database, */
const MOST_CHOICES = 6;
/** and so many combinations in all. */
const MOST_STEPS = 400;
const LAST_PORT = 65_535;

/**
 * A place for each of these, so that all fit together; null: none was found. On success their room is kept, until
 * `leave` gives it back.
 */
export function placeAll(world: World, residents: readonly Resident[]): Map<string, Pair> | null {
  const sizes = residents
    .map((resident) => ({ resident, ...needsOf(world, resident) }))
    .sort((a, b) => b.bytes + b.fork - (a.bytes + a.fork));
  const placed = new Map<string, Pair>();
  let steps = MOST_STEPS;
  const place = (index: number): boolean => {
    const next = sizes[index];
    if (next === undefined) return true;
    const { name } = next.resident.database;
    for (const to of choices(world, next)) {
      steps -= 1;
      if (steps < 0) return false;
      arrive(world, name, to);
      placed.set(name, to);
      if (place(index + 1)) return true;
      placed.delete(name);
      leave(world, name, to);
    }
    return false;
  };
  return place(0) ? placed : null;
}

interface Needs {
  readonly bytes: number;
  readonly fork: number;
}

function needsOf(world: World, { database, forkShare }: Resident): Needs {
  return {
    bytes: arrivingBytes(database, world.until),
    fork: forkShare * usedAt(database, world.until, 'high'),
  };
}

/** The roomiest first: it stays safe for longest, and what comes after fits as well. */
function choices(world: World, { resident, bytes, fork }: Needs & { readonly resident: Resident }): Pair[] {
  const here = hostsOfDatabase(resident.database);
  const best: { readonly server: PlannedServer; readonly spare: number }[] = [];
  for (const server of world.servers) {
    const [a, b] = server.hosts;
    const spare = Math.min(spareOf(a), spareOf(b));
    if (best.length === MOST_CHOICES && spare <= (best.at(-1)?.spare ?? 0)) continue;
    if (!hasRoomFor(a, bytes, fork) || !hasRoomFor(b, bytes, fork)) continue;
    if (here.includes(a.outlook.host.name) || here.includes(b.outlook.host.name)) continue;
    best.push({ server, spare });
    best.sort((one, other) => other.spare - one.spare);
    if (best.length > MOST_CHOICES) best.pop();
  }
  return best.flatMap(({ server }) => pairOn(world, server, resident));
}

/** It keeps its port where that is free on both hosts, and its leader stays in its zone where that is possible. */
export function pairOn(world: World, { name, hosts }: PlannedServer, { database }: Resident): Pair[] {
  const port = freePort(hosts, database.leader.port, world.options.lowestPort);
  if (port === null) return [];
  const zone = world.hosts.get(database.leader.host)?.outlook.host.zone;
  const [a, b] = hosts;
  const [leader, follower] = b.outlook.host.zone === zone ? [b, a] : [a, b];
  const at = ({ outlook: { host } }: PlannedHost): Pair['leader'] => ({
    host: host.name,
    address: host.address,
    port,
  });
  return [{ server: name, leader: at(leader), follower: at(follower) }];
}

function freePort(hosts: readonly PlannedHost[], wanted: number, lowest: number): number | null {
  const isFree = (port: number): boolean => hosts.every((host) => !hasPort(host, port));
  if (wanted >= lowest && isFree(wanted)) return wanted;
  for (let port = lowest; port <= LAST_PORT; port += 1) if (isFree(port)) return port;
  return null;
}
