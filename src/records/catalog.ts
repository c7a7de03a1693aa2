/**
 * Processes as service instances of Consul's catalog, so that DNS, Envoy and consul-template find them:
 * `leader.<database>.service.consul`. Consul itself checks the port, so that what it says does not hang on our agent.
 */

import type { FleetConsul } from '../connections/consul.js';
import type { Endpoint } from '../fleet/record.js';

export interface Registration {
  readonly fleet: string;
  readonly database: string;
  readonly role: 'leader' | 'follower';
  readonly endpoint: Endpoint;
  readonly epoch: number;
}

const CHECK_INTERVAL = '2s';
const CHECK_TIMEOUT = '1s';

/** Registers or updates one process at the local Consul agent, whose tags others may change in the catalog. The same registration again changes nothing. */
export async function registerProcess(consul: FleetConsul, registration: Registration): Promise<void> {
  const { fleet, database, role, endpoint, epoch } = registration;
  const id = serviceId(fleet, database, endpoint.host);
  await consul.call(`register ${database} on ${endpoint.host} as ${role}`, (client) =>
    client.agent.service.register({
      name: database,
      id,
      tags: [role],
      address: endpoint.address,
      port: endpoint.port,
      meta: { fleet, host: endpoint.host, epoch: String(epoch), 'managed-by': MANAGER },
      check: {
        checkid: `${id}/port`,
        name: 'Redis port',
        tcp: `${endpoint.address}:${endpoint.port}`,
        interval: CHECK_INTERVAL,
        timeout: CHECK_TIMEOUT,
        // A process registered just now is known to run: it must not vanish from DNS until the first check.
        status: 'passing',
      },
    }),
  );
}

/** One that is not registered any more is well. */
export async function deregisterProcess(
  consul: FleetConsul,
  { fleet, database, endpoint: { host } }: Registration,
): Promise<void> {
  const id = serviceId(fleet, database, host);
  await consul.call(`deregister ${database} on ${host}`, async (client) => {
    try {
      await client.agent.service.deregister(id);
    } catch (error) {
      if (!isUnknown(error)) throw error;
    }
  });
}

function isUnknown(error: unknown): boolean {
  return isObject(error) && isObject(error['response']) && error['response']['statusCode'] === 404;
}

/** What is registered at the local Consul agent for one host of the fleet. */
export async function listOwn(
  consul: FleetConsul,
  { fleet, host }: { fleet: string; host: string },
): Promise<readonly Registration[]> {
  const answer: unknown = await consul.call('list its services', (client) => client.agent.service.list());
  if (typeof answer !== 'object' || answer === null) return [];
  return Object.values(answer)
    .flatMap(toRegistration)
    .filter((found) => found.fleet === fleet && found.endpoint.host === host);
}

/** Entries of others are left alone. */
export const MANAGER = 'redis-fleet';

/** One Consul agent may serve several hosts (in development it does). */
function serviceId(fleet: string, database: string, host: string): string {
  return `${MANAGER}/${fleet}/${host}/${database}`;
}

function toRegistration(service: unknown): readonly Registration[] {
  if (!isObject(service) || !isObject(service['Meta']) || service['Meta']['managed-by'] !== MANAGER)
    return [];
  const { fleet, host, epoch } = service['Meta'];
  const { Service: database, Address: address, Port: port, Tags: tags } = service;
  if (typeof fleet !== 'string' || typeof host !== 'string' || typeof database !== 'string') return [];
  if (typeof address !== 'string' || typeof port !== 'number' || !Array.isArray(tags)) return [];
  const role = tags.includes('leader') ? 'leader' : 'follower';
  return [{ fleet, database, role, endpoint: { host, address, port }, epoch: Number(epoch) }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
