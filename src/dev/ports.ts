/** Ports for the control plane: the wanted ones where they are free, else any. */

import { randomInt } from 'node:crypto';
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

/** What Temporal's development server is bound to: its parts look for each other there, whatever `--ip` says. */
export const TEMPORAL_ADDRESS = '127.0.0.1';

export interface PortWishes {
  /** Of Consul. */
  readonly address: string;
  /** An engineer's words, so that a port that is taken is an error. */
  readonly demanded: Partial<DevPorts>;
  /** What an earlier run used, so that addresses stay the same when they can. */
  readonly preferred: Partial<DevPorts>;
  /** Away from the well-known ports, where somebody may want to be next. */
  readonly anywhere: boolean;
}

/** @throws PortInUse */
export async function choosePorts({ address, demanded, preferred, anywhere }: PortWishes): Promise<DevPorts> {
  const chosen: Partial<Record<keyof DevPorts, number>> = {};
  const taken = new Set<number>();
  for (const name of Object.keys(PORT_DEFAULTS) as (keyof DevPorts)[]) {
    const at = name.startsWith('temporal') ? TEMPORAL_ADDRESS : address;
    const demand = demanded[name];
    if (demand !== undefined && (taken.has(demand) || !(await isFree(at, demand)))) {
      throw new FleetError(
        'PortInUse',
        `Port ${demand} on ${at}, asked for as the port of ${name}, is in use. Nothing was started; ` +
          `name another one, or none to get a free one.`,
      );
    }
    const wishes = [preferred[name], ...(anywhere ? [] : [PORT_DEFAULTS[name]])];
    const port = demand ?? (await freePort(at, wishes, taken));
    taken.add(port);
    chosen[name] = port;
  }
  return { ...PORT_DEFAULTS, ...chosen };
}

/** Below the ports that the kernel gives to outgoing connections. */
const FIRST_RANDOM = 10_000;
const LAST_RANDOM = 31_999;

async function freePort(
  address: string,
  wishes: readonly (number | undefined)[],
  taken: ReadonlySet<number>,
): Promise<number> {
  for (const wish of wishes) {
    if (wish !== undefined && !taken.has(wish) && (await isFree(address, wish))) return wish;
  }
  for (;;) {
    const port = randomInt(FIRST_RANDOM, LAST_RANDOM + 1);
    if (!taken.has(port) && (await isFree(address, port))) return port;
  }
}

/** For TCP and for UDP: Consul's DNS and gossip use both. */
async function isFree(address: string, port: number): Promise<boolean> {
  return (await canListen(address, port)) && (await canBind(address, port));
}

function canListen(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, address, () => server.close(() => resolve(true)));
  });
}

function canBind(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind(port, address, () => socket.close(() => resolve(true)));
  });
}
