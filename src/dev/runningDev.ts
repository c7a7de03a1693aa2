/** The life of one `redis-fleet dev`: the order in which its parts start, and the order in which they stop. */

import { setMaxListeners } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Client } from '@temporalio/client';
import { consulFromEnvironment } from '../connections/consul.js';
import type { FleetConsul } from '../connections/consul.js';
import type { Credentials } from '../connections/credentials.js';
import { connectTemporalClient } from '../connections/temporal.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { redisServerProgram } from '../host/settings.js';
import { findBinary, ownCommand, PROGRAMS } from './binaries.js';
import { SupervisedChild } from './child.js';
import { runToEnd } from './command.js';
import { consulCommand } from './consulAgent.js';
import { envFileText, ownCredentials, rememberedPorts, writePrivate } from './dataDirectory.js';
import type { DataDirectory } from './dataDirectory.js';
import { endLeftovers } from './leftovers.js';
import { choosePorts, TEMPORAL_ADDRESS } from './ports.js';
import type { DevPorts } from './ports.js';
import { allReady, answers, awaitReady } from './readiness.js';
import { Reaper } from './reaper.js';
import { DevRedis } from './redisProcesses.js';
import { resumeRedis } from './resume.js';
import type { DevChild, DevFleet, DevOptions } from './startDev.js';
import { temporalCommand } from './temporalServer.js';

const READY_WITHIN_MS = 60_000;
/** A worker or an agent hands back what it holds. */
const STOP_WITHIN_MS = 15_000;
/** Temporal's server drains for 15 s in which nobody asks it anything; its database survives a kill. */
const TEMPORAL_STOP_WITHIN_MS = 500;
const CONSUL_STOP_WITHIN_MS = 5_000;

export class RunningDev implements DevFleet {
  readonly credentials: Credentials;
  readonly #options: DevOptions & { readonly address: string };
  readonly #unlock: () => void;
  readonly #stopping = new AbortController();
  readonly #signal: AbortSignal;
  readonly #redis: DevRedis;
  #children: SupervisedChild[] = [];
  #reaper: Reaper | null = null;
  /** Where hosts find Temporal when they are in a network of their own. */
  #forwarded: { readonly TEMPORAL_ADDRESS: string } | null = null;
  #ports: DevPorts | null = null;
  #temporal: Client | null = null;
  #consul: FleetConsul | null = null;
  #stopped: Promise<void> | null = null;

  constructor(
    options: DevOptions & { readonly address: string },
    readonly fleet: Fleet,
    readonly data: DataDirectory,
    unlock: () => void,
  ) {
    this.#options = options;
    this.#unlock = unlock;
    const signals = [this.#stopping.signal, ...(options.signal ? [options.signal] : [])];
    this.#signal = AbortSignal.any(signals);
    // Each child is waited for with it: a fleet of many hosts is no leak.
    setMaxListeners(0, this.#signal);
    const env = options.env ?? process.env;
    this.credentials = ownCredentials(data.credentials);
    this.#redis = new DevRedis(fleet, data, this.credentials, redisServerProgram(env));
  }

  get env(): Readonly<Record<string, string>> {
    return {
      TEMPORAL_ADDRESS: this.addresses.temporal,
      TEMPORAL_NAMESPACE: 'default',
      CONSUL_HTTP_ADDR: this.addresses.consul,
      REDIS_FLEET_FILE: this.#options.file,
      REDIS_FLEET_CREDENTIALS: this.data.credentials,
      REDIS_FLEET_BACKUP_ROOT: this.data.root,
    };
  }

  get addresses(): DevFleet['addresses'] {
    const ports = this.#chosenPorts();
    const consul = `${this.#options.address}:${ports.consul}`;
    return {
      temporal: `${TEMPORAL_ADDRESS}:${ports.temporal}`,
      temporalUi: `http://${TEMPORAL_ADDRESS}:${ports.temporalUi}`,
      consul,
      consulUi: `http://${consul}/ui`,
      consulDns: `${this.#options.address}:${ports.consulDns}`,
    };
  }

  get temporal(): Client {
    if (!this.#temporal) throw notStarted();
    return this.#temporal;
  }

  get consul(): FleetConsul {
    if (!this.#consul) throw notStarted();
    return this.#consul;
  }

  async start(): Promise<void> {
    const leftovers = await endLeftovers(this.data.pids);
    if (leftovers.length > 0) {
      this.#tell(`ended what a run that was killed had left: ${leftovers.join(', ')}`);
    }
    this.#ports = await choosePorts({
      address: this.#options.address,
      demanded: this.#options.ports ?? {},
      preferred: rememberedPorts(this.data.ports),
      anywhere: this.#options.ephemeral === true,
    });
    writeFileSync(this.data.ports, `${JSON.stringify(this.#ports)}\n`);
    writePrivate(this.data.env, envFileText(this.env, PROGRAMS));
    const hosts = this.#options.ephemeral === true ? this.data.hosts : null;
    const remove = this.#options.ephemeral === true ? this.data.root : null;
    this.#reaper = new Reaper({ pids: this.data.pids, hosts, remove });
    this.#tell(`starting Temporal and Consul (data and logs in ${this.data.root})`);
    await this.#startSystems();
    // Before anything that could act on Redis: a runbook that was under way shall find its processes.
    for (const line of await resumeRedis(this.#redis, this.consul, this.fleet.name, this.#signal))
      this.#tell(line);
    this.#tell('starting a control worker and an agent for each host');
    await this.#startWorkers();
    this.#tell('all of them answer');
    if (this.#options.apply) await this.#applyAtStart();
  }

  async apply(): Promise<void> {
    const code = await this.run('apply', this.#options.file);
    this.#signal.throwIfAborted();
    if (code === 0) return;
    throw new FleetError(
      'InvalidRequest',
      `\`redis-fleet apply\` ended with exit code ${code}: not everything is provisioned. Look at ` +
        `${this.addresses.temporalUi} and at the logs in ${this.data.logs}.`,
    );
  }

  run(...parameters: string[]): Promise<number> {
    return runToEnd(
      [...ownCommand(), ...parameters],
      this.#childEnvironment(),
      this.#options.tellOutput ?? this.#options.tell ?? ignore,
      this.#signal,
    );
  }

  pidOf(name: DevChild): number | null {
    return this.#child(name).pid;
  }

  kill(name: DevChild): Promise<number> {
    return this.#child(name).kill();
  }

  hold(name: DevChild): Promise<void> {
    return this.#child(name).hold();
  }

  async release(name: DevChild): Promise<void> {
    const child = this.#child(name);
    child.start();
    await this.#answers(child);
  }

  freeze(name: DevChild): void {
    this.#child(name).freeze();
  }

  thaw(name: DevChild): void {
    this.#child(name).thaw();
  }

  stop(how: { readonly keepLogs: boolean } = { keepLogs: false }): Promise<void> {
    this.#stopped ??= this.#stop(how);
    return this.#stopped;
  }

  async #applyAtStart(): Promise<void> {
    try {
      await this.apply();
    } catch (error) {
      this.#signal.throwIfAborted();
      if (this.#options.keepGoing !== true) throw error;
      this.#tell(messageOf(error));
    }
  }

  async #startSystems(): Promise<void> {
    const { address } = this.#options;
    const env = this.#options.env ?? process.env;
    const folder = (name: string): string => path.join(this.data.root, name);
    const consul = findBinary('consul', env);
    const temporal = findBinary('temporal', env);
    findBinary('redis-server', env);
    const ports = this.#chosenPorts();
    const systems = [
      this.#spawn('consul', consulCommand(consul, folder('consul'), address, ports), {
        stopWithinMs: CONSUL_STOP_WITHIN_MS,
      }),
      this.#spawn('temporal', temporalCommand(temporal, folder('temporal'), ports), {
        stopWithinMs: TEMPORAL_STOP_WITHIN_MS,
        killIsUsual: true,
      }),
    ] as const;
    this.#consul = consulFromEnvironment(this.env);
    await allReady(systems.map((child) => this.#answers(child)));
    this.#temporal = await connectTemporalClient(this.env, { patience: 'none' });
  }

  async #startWorkers(): Promise<void> {
    const own = ownCommand();
    const { network } = this.#options;
    if (network) {
      const port = await network.forward(this.#chosenPorts().temporal);
      this.#forwarded = { TEMPORAL_ADDRESS: `${network.outside}:${port}` };
    }
    const hosts = this.fleet.servers.flatMap((server) => server.hosts);
    const workers = [
      this.#spawn('worker', [...own, 'worker']),
      ...hosts.map(({ name, zone }) => {
        const agent = [...own, 'agent', '--host', name, '--data', this.data.host(name)] as const;
        return this.#spawn(`agent:${name}`, network ? [...network.enter(zone), ...agent] : agent);
      }),
    ];
    await allReady(workers.map((child) => this.#answers(child)));
  }

  #answers(child: SupervisedChild): Promise<void> {
    const readiness = {
      what: child.name,
      deadlineMs: READY_WITHIN_MS,
      signal: this.#signal,
      lastWords: () => child.lastWords(),
    };
    return awaitReady(() => answers(child, this.env, this.consul), readiness);
  }

  /** First who may act on Redis, then Redis, then what they all talk to. */
  async #stop({ keepLogs }: { readonly keepLogs: boolean }): Promise<void> {
    this.#stopping.abort(new FleetError('InvalidRequest', 'This `redis-fleet dev` is stopping.'));
    const systems = this.#children.filter((child) => child.name === 'consul' || child.name === 'temporal');
    const workers = this.#children.filter((child) => !systems.includes(child));
    await Promise.all(workers.map((child) => child.stop()));
    if (this.#options.ephemeral === true) await this.#redis.kill();
    else for (const line of await this.#redis.stop()) this.#tell(line);
    await this.#temporal?.connection.close();
    await Promise.all(systems.map((child) => child.stop()));
    this.#consul?.close();
    this.#reaper?.dismiss();
    if (this.#options.ephemeral === true && !keepLogs)
      rmSync(this.data.root, { recursive: true, force: true });
    else this.#unlock();
  }

  #spawn(
    name: DevChild,
    command: readonly [string, ...string[]],
    how: { stopWithinMs: number; killIsUsual?: boolean } = { stopWithinMs: STOP_WITHIN_MS },
  ): SupervisedChild {
    // A part of the name that is a path would leave the folder.
    const file = name.replaceAll(/[^\w.-]/g, '-');
    const child = new SupervisedChild({
      name,
      command,
      env: { ...this.#childEnvironment(), ...(name.startsWith('agent:') ? this.#forwarded : null) },
      logFile: path.join(this.data.logs, `${file}.log`),
      pidFile: path.join(this.data.pids, `${file}.pid`),
      tell: (line) => this.#tell(line),
      ...how,
    });
    this.#children.push(child);
    child.start();
    return child;
  }

  /** Ours, and nothing that points at somebody's production. */
  #childEnvironment(): NodeJS.ProcessEnv {
    const given = Object.entries(this.#options.env ?? process.env).filter(
      ([name]) => !/^(TEMPORAL|CONSUL)_/.test(name),
    );
    return { ...Object.fromEntries(given), ...this.env, TEMPORAL_CONFIG_FILE: this.data.noTemporalConfig };
  }

  #child(name: DevChild): SupervisedChild {
    const child = this.#children.find((one) => one.name === name);
    if (child) return child;
    const names = this.#children.map((one) => one.name).join(', ');
    throw new FleetError('NotFound', `There is no ${name} here: it is one of ${names}.`);
  }

  #chosenPorts(): DevPorts {
    if (!this.#ports) throw notStarted();
    return this.#ports;
  }

  #tell(line: string): void {
    this.#options.tell?.(line);
  }
}

function ignore(): void {
  // Nobody wants to read it.
}

function notStarted(): FleetError {
  return new FleetError('InvalidRequest', 'This `redis-fleet dev` has not started yet.');
}
