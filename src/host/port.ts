import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from '../fleet/errors.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { errorCode } from './diskErrors.js';
import { portHolder } from './procfs.js';

/** A process that was just killed is gone from /proc some milliseconds before its port is free. */
const RELEASE_WITHIN_MS = 1_000;
const LOOK_EVERY_MS = 25;

/** @throws PortInUse naming the holder if it can be seen; InvalidRequest when the address is not this machine's */
export async function requireFreePort(endpoint: Endpoint, database: string): Promise<void> {
  try {
    await listenWithin(endpoint, RELEASE_WITHIN_MS);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EADDRINUSE') {
      const holder = portHolder(endpoint.address, endpoint.port);
      const who =
        holder === null
          ? 'this user may not see who holds it'
          : `${holder.command} (pid ${holder.pid}) holds it`;
      throw new FleetError(
        'PortInUse',
        `${database} cannot run at ${showEndpoint(endpoint)}: the port is in use; ${who}. Nothing was started. ` +
          `Stop that process, or give the database another port in the fleet file.`,
      );
    }
    if (code === 'EADDRNOTAVAIL') {
      throw new FleetError(
        'InvalidRequest',
        `${endpoint.address} is not an address of this machine, but the fleet file says that it is ` +
          `${endpoint.host}'s. Nothing was started. Check --host, or the address in the fleet file.`,
      );
    }
    if (code === 'EACCES') {
      throw new FleetError(
        'PortInUse',
        `${database} may not listen at ${showEndpoint(endpoint)} (EACCES): ports below 1024 need privileges.`,
      );
    }
    throw error;
  }
}

async function listenWithin(endpoint: Endpoint, ms: number): Promise<void> {
  const end = performance.now() + ms;
  for (;;) {
    try {
      await tryToListen(endpoint);
      return;
    } catch (error) {
      if (errorCode(error) !== 'EADDRINUSE' || performance.now() >= end) throw error;
    }
    await sleep(LOOK_EVERY_MS);
  }
}

function tryToListen({ address, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve()));
  });
}
