/**
 * Temporal, Consul, one control worker and one agent per host, started and stopped together on loopback
 * addresses. What production runs as systemd units runs here as children of one process.
 */

import path from 'node:path';
import type { Client } from '@temporalio/client';
import type { FleetConsul } from '../connections/consul.js';
import type { Credentials } from '../connections/credentials.js';
import { readFleetFile } from '../connections/fleetFile.js';
import { FleetError } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { dataDirectory } from './dataDirectory.js';
import type { DataDirectory } from './dataDirectory.js';
import { lockDataDirectory } from './lock.js';
import type { DevNetwork } from './network.js';
import type { DevPorts } from './ports.js';
import { RunningDev } from './runningDev.js';

export interface DevOptions {
  /** The fleet file. */
  readonly file: string;
  /** Default `.redis-fleet/<fleet>` in the working directory. */
  readonly data?: string;
  /** Of Consul. Default 127.0.0.1, where Temporal's development server always is. */
  readonly address?: string;
  /** An error when one of these is taken; others are chosen. */
  readonly ports?: Partial<DevPorts>;
  /** Provision what the file describes, once all runs. */
  readonly apply: boolean;
  /** A failed `apply` is told, and all goes on running; by default it ends the start. */
  readonly keepGoing?: boolean;
  /** A fleet for once: its stop kills Redis and removes the data, and so does the end of this process. */
  readonly ephemeral?: boolean;
  /** Lines for the person who runs it. */
  readonly tell?: (line: string) => void;
  /** Lines that `apply` and other commands say. Default: `tell`. */
  readonly tellOutput?: (line: string) => void;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
  /** Instead of loopback addresses: a network made for this fleet. Consul is then at its outside. */
  readonly network?: DevNetwork;
  /** Variables beside those that point at this fleet. Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
}

/** `temporal`, `consul`, `worker` or `agent:<host>`. */
export type DevChild = 'temporal' | 'consul' | 'worker' | `agent:${string}`;

export interface DevFleet {
  readonly fleet: Fleet;
  readonly data: DataDirectory;
  readonly credentials: Credentials;
  /** What points the command line, a client or a worker at this fleet. */
  readonly env: Readonly<Record<string, string>>;
  readonly addresses: {
    readonly temporal: string;
    readonly temporalUi: string;
    readonly consul: string;
    readonly consulUi: string;
    readonly consulDns: string;
  };
  readonly temporal: Client;
  readonly consul: FleetConsul;
  /** null while it is down. @throws NotFound for a name that nobody has */
  pidOf(name: DevChild): number | null;
  /** SIGKILL; it is started again as after any crash. Returns the pid that was killed. @throws NotFound */
  kill(name: DevChild): Promise<number>;
  /** SIGKILL, and down until it is released: an outage. Its data stay. @throws NotFound */
  hold(name: DevChild): Promise<void>;
  /** Starts what was held, and returns when it answers. @throws NotFound, Unreachable */
  release(name: DevChild): Promise<void>;
  /** SIGSTOP: it keeps its connections and answers nothing. @throws NotFound */
  freeze(name: DevChild): void;
  /** SIGCONT. @throws NotFound */
  thaw(name: DevChild): void;
  /** `redis-fleet` with these arguments, pointed at this fleet; its output goes to `tell`. Returns the exit code. */
  run(...parameters: string[]): Promise<number>;
  /** Provisions what the fleet file describes. @throws InvalidRequest when that failed */
  apply(): Promise<void>;
  /** Stops all, Redis with its data saved (unless ephemeral). May be called again. */
  stop(): Promise<void>;
}

/**
 * Returns when everything answers and, with `apply`, the fleet is provisioned; otherwise nothing is left running.
 * @throws InvalidFleetFile, InvalidRequest (an address that is not loopback, a second one on the same data), NotFound (a
 * binary), PortInUse, Unreachable (something does not come up, with its last words)
 */
export async function startDev(options: DevOptions): Promise<DevFleet> {
  const fleet = await readFleetFile({}, options.file);
  const address = options.network?.outside ?? options.address ?? '127.0.0.1';
  refuseForeignAddresses(fleet, address, options.network);
  const data = dataDirectory(options.data ?? path.join('.redis-fleet', fleet.name));
  const unlock = lockDataDirectory(data.root);
  const dev = new RunningDev({ ...options, file: path.resolve(options.file), address }, fleet, data, unlock);
  try {
    await dev.start();
    return dev;
  } catch (error) {
    // The logs of a start that failed are worth more than a clean folder.
    const keepLogs = options.signal?.aborted !== true;
    await dev.stop({ keepLogs });
    if (!keepLogs || !(error instanceof FleetError)) throw error;
    throw new FleetError(error.kind, `${error.message}\nAll logs are kept in ${data.logs}.`, {
      cause: error,
    });
  }
}

function refuseForeignAddresses(fleet: Fleet, control: string, network?: DevNetwork): void {
  const ours = (address: string): boolean => network?.owns(address) ?? isLoopback(address);
  const hosts = fleet.servers.flatMap((server) => server.hosts);
  const foreign = hosts.find((host) => !ours(host.address));
  if (foreign) {
    throw new FleetError(
      'InvalidRequest',
      `\`redis-fleet dev\` runs every host on this machine, but ${foreign.name} has the address ${foreign.address}, ` +
        `which is not a loopback address. Nothing was started. Give the hosts addresses in 127.0.0.0/8, e.g. ` +
        `127.0.1.1, or run \`redis-fleet agent --host ${foreign.name}\` on that host.`,
    );
  }
  if (!network && !isLoopback(control)) {
    throw new FleetError(
      'InvalidRequest',
      `\`redis-fleet dev\` serves on loopback addresses only, not on ${control}.`,
    );
  }
}

function isLoopback(address: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(address);
}
