/** Fleets to start a story of relocation from. */

import type { DatabaseState, HostState, RelocationState, Spread } from '../../src/fleet/relocation/state.js';

export const MiB = 1024 ** 2;
export const GiB = 1024 ** 3;

export function steady(rate: number): Spread {
  return { low: rate, expected: rate, high: rate };
}

/** `redis-01-a` is in zone `az-a`, and belongs to server `redis-01`. */
export function host(name: string, available: number, changes: Partial<HostState> = {}): HostState {
  const [kind = '', number = '', letter = ''] = name.split('-');
  return {
    name,
    zone: `az-${letter}`,
    address: `10.0.${String(Number(number))}.${letter === 'a' ? '1' : '2'}`,
    server: `${kind}-${number}`,
    closed: null,
    memory: { total: 4 * GiB, available, limitedBy: 'machine' },
    cores: 8,
    takenPorts: [],
    otherGrowth: steady(0),
    ...changes,
  };
}

/** Led by the first host of its server, followed by the second. */
export function database(
  name: string,
  server: string,
  port: number,
  usedMemory: number,
  changes: Partial<DatabaseState> = {},
): DatabaseState {
  const number = String(Number(server.split('-')[1]));
  return {
    name,
    server,
    leader: { host: `${server}-a`, address: `10.0.${number}.1`, port },
    follower: { host: `${server}-b`, address: `10.0.${number}.2`, port },
    extraFollowers: [],
    usedMemory,
    residentMemory: usedMemory,
    maxmemory: 0,
    growth: steady(0),
    writeRate: 0,
    forks: [],
    busy: null,
    ...changes,
  };
}

/** The hosts know which ports their databases take. */
export function fleetState(
  hosts: readonly HostState[],
  databases: readonly DatabaseState[],
): RelocationState {
  const taken = (name: string): number[] =>
    databases.flatMap(({ leader, follower, extraFollowers }) =>
      [leader, follower, ...extraFollowers].flatMap((one) => (one?.host === name ? [one.port] : [])),
    );
  return {
    hosts: hosts.map((one) => ({ ...one, takenPorts: [...one.takenPorts, ...taken(one.name)] })),
    databases,
  };
}
