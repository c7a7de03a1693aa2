/** The fleet as if moves had ended already. Pure. */

import { arrivingBytes, freedBytes } from './moveCost.js';
import { listUnder } from './listUnder.js';
import type { PlannedMove } from './plan.js';
import type { RelocationState } from './state.js';

export function projected(state: RelocationState, moves: readonly PlannedMove[]): RelocationState {
  const databases = new Map(state.databases.map((database) => [database.name, database]));
  const changes = new Map<string, number>();
  const ports = new Map<string, number[]>();
  const change = (host: string, bytes: number): void => {
    changes.set(host, (changes.get(host) ?? 0) + bytes);
  };
  for (const { database: name, from, to } of moves) {
    const database = databases.get(name);
    if (database === undefined) continue;
    const targets = [to.leader, to.follower];
    for (const { host } of [from.leader, from.follower]) {
      if (!targets.some((target) => target.host === host)) change(host, freedBytes(database, 0));
    }
    for (const { host, port } of targets) {
      change(host, -arrivingBytes(database, 0));
      listUnder(ports, host, port);
    }
    databases.set(name, {
      ...database,
      server: to.server,
      leader: to.leader,
      follower: to.follower,
      extraFollowers: [],
      residentMemory: Math.max(database.usedMemory, database.residentMemory),
    });
  }
  return {
    hosts: state.hosts.map((host) => {
      const change = changes.get(host.name);
      if (change === undefined) return host;
      const { total, available } = host.memory;
      const memory = { ...host.memory, available: Math.min(total, available + change) };
      return { ...host, memory, takenPorts: [...host.takenPorts, ...(ports.get(host.name) ?? [])] };
    }),
    databases: [...databases.values()],
  };
}
