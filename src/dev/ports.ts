/** Ports for the control plane: the wanted ones where they are free, else any. */

import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { FleetError } from '../fleet/errors.js';

export const PORT_DEFAULTS = {
  temporal: 7233,
  temporalUi: 8233,
  consul: 8500,
  consulDns: 8600,
  consulServer: 8300,
  consulSerf: 8301,
} as const;
export type DevPorts = Readonly<Record<keyof typeof PORT_DEFAULTS, number>>;

/**
 * `demanded`: an engineer's words, so a port that is taken is an error. `preferred`: what an earlier run used,
 * so that addresses stay the same when they can.
 * @throws PortInUse
 */
export async function choosePorts(
  address: string,
  demanded: Partial<DevPorts>,
  preferred: Partial<DevPorts>,
): Promise<DevPorts> {
  const chosen: Partial<Record<keyof DevPorts, number>> = {};
  const taken = new Set<number>();
  for (const name of Object.keys(PORT_DEFAULTS) as (keyof DevPorts)[]) {
    const demand = demanded[name];
    if (demand !== undefined && !(await isFree(address, demand))) {
      throw new FleetError(
        'PortInUse',
        `Port ${demand} on ${address}, asked for as the port of ${name}, is in use. Nothing was started; ` +
          `name another one, or none to get a free one.`,
      );
    }
    const port = demand ?? (await freePort(address, [preferred[name], PORT_DEFAULTS[name]], taken));
    taken.add(port);
    chosen[name] = port;
  }
  return { ...PORT_DEFAULTS, ...chosen };
}

async function freePort(
  address: string,
  wishes: readonly (number | undefined)[],
  taken: ReadonlySet<number>,
): Promise<number> {
  for (const wish of wishes) {
    if (wish !== undefined && !taken.has(wish) && (await isFree(address, wish))) return wish;
  }
  for (;;) {
    const port = await listenOnce(address, 0);
    if (port !== null && !taken.has(port) && (await isFree(address, port))) return port;
  }
}

/** For TCP and for UDP: Consul's DNS and gossip use both. */
async function isFree(address: string, port: number): Promise<boolean> {
  return (await listenOnce(address, port)) !== null && (await bindOnce(address, port));
}

function listenOnce(address: string, port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : null));
    });
  });
}

function bindOnce(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind(port, address, () => socket.close(() => resolve(true)));
  });
}
