/** What procedures need done to a fleet before they run. */

import process from 'node:process';
import { withRedis, type Redis } from '../../src/connections/redis.js';
import type { Endpoint } from '../../src/fleet/record.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Parts } from './endState.js';

/** By the fleet file. `third`: where another server would have the follower. */
export function partsOf(fleet: TestFleet, database: string, withThird = false): Parts {
  const { servers, databases } = fleet.dev.fleet;
  const own = databases.find(({ name }) => name === database);
  const index = servers.findIndex(({ name }) => name === own?.server);
  const endpoint = (host: { name: string; address: string } | undefined): Endpoint => {
    if (own === undefined || host === undefined) throw new Error(`${database} lacks a host for a part.`);
    return { host: host.name, address: host.address, port: own.port };
  };
  const [leader, follower] = servers[index]?.hosts ?? [];
  const third = servers[(index + 1) % servers.length]?.hosts[1];
  return {
    leader: endpoint(leader),
    follower: endpoint(follower),
    ...(withThird ? { third: endpoint(third) } : {}),
  };
}

/** kill -9, if it runs. */
export async function killProcess(
  fleet: TestFleet,
  database: string,
  endpoint: Endpoint | undefined,
): Promise<void> {
  const { host } = at(endpoint);
  const pid = fleet.pidOf(database, host);
  if (pid === null) return;
  process.kill(pid, 'SIGKILL');
  await waitFor(() => fleet.pidOf(database, host) === null, {
    deadlineMs: 30_000,
    what: `the end of ${database} on ${host}`,
    everyMs: 10,
  });
}

/** SIGSTOP. */
export function freezeProcess(fleet: TestFleet, database: string, endpoint: Endpoint | undefined): void {
  const { host } = at(endpoint);
  const pid = fleet.pidOf(database, host);
  if (pid === null) throw new Error(`${database} does not run on ${host}.`);
  process.kill(pid, 'SIGSTOP');
}

export async function tell(
  fleet: TestFleet,
  endpoint: Endpoint | undefined,
  say: (redis: Redis) => Promise<unknown>,
): Promise<void> {
  await withRedis(at(endpoint), fleet.dev.credentials, { timeoutMs: 5000 }, say);
}

export function at(endpoint: Endpoint | undefined): Endpoint {
  if (endpoint === undefined) throw new Error('The procedure has no such part.');
  return endpoint;
}
