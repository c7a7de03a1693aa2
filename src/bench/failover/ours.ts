/** This project's side: a fleet that lives as long as the case, and another database of it for each measurement. */

import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { startRunbook } from '../../connections/startRunbook.js';
import { findBinary } from '../../dev/binaries.js';
import { FleetError } from '../../fleet/errors.js';
import { workflowId } from '../../fleet/names.js';
import type { Endpoint } from '../../fleet/record.js';
import { processFiles } from '../../host/layout.js';
import { recordStore } from '../../records/databases.js';
import { watchStore } from '../../records/watches.js';
import { startTestFleet, type TestFleet, type TestFleetOptions } from '../../testbed/fleet.js';
import { now } from '../../testbed/traffic.js';
import type { Route } from '../../testbed/trafficContract.js';
import { waitFor } from '../../testbed/waiting.js';
import { startZonedFleet } from '../../testbed/zonedFleet.js';
import type { Zones } from '../../testbed/zones.js';
import type { Stage, System } from './stage.js';

export interface OursOptions {
  readonly databases: number;
  readonly leaseTtl?: string;
  /** Hosts in zones that can be cut off. */
  readonly zones?: boolean;
  readonly maxmemory?: string;
  readonly signal: AbortSignal;
}

interface Change {
  readonly epoch: number;
  readonly at: number;
}

export interface Ours extends System {
  readonly fleet: TestFleet;
  /** Of one database by name; `stage()` takes one after the other. */
  stageOf(database: string): Promise<Stage>;
  routeTo(): Route;
  /** Waits until the watch believes all leaders well. */
  watched(): Promise<void>;
  /** When the record named another leader than at `epoch`; null: it has not. */
  changedAfter(database: string, epoch: number): number | null;
}

const WATCHED_WITHIN_MS = 60_000;
const SERVER = 'redis-01';

export async function startOurs(options: OursOptions): Promise<Ours> {
  const fleetOptions: TestFleetOptions = {
    servers: 1,
    databasesPerServer: options.databases,
    policy: 'automatic',
    downAfter: '1s',
    // A measurement is no fault that comes back.
    notAgainWithin: '0s',
    ...(options.leaseTtl === undefined ? {} : { leaseTtl: options.leaseTtl }),
    ...(options.maxmemory === undefined ? {} : { maxmemory: options.maxmemory }),
    signal: options.signal,
  };
  const zoned = options.zones === true ? await startZonedFleet(fleetOptions) : null;
  const fleet = zoned ?? (await startTestFleet(fleetOptions));
  const ours = new OurSystem(fleet, zoned?.zones ?? null);
  try {
    await ours.watched();
    return ours;
  } catch (error) {
    await ours.stop();
    throw error;
  }
}

class OurSystem implements Ours {
  readonly name = 'ours';
  readonly #changes = new Map<string, Change[]>();
  readonly #ending = new AbortController();
  readonly #watching: Promise<void>;
  #next = 0;

  constructor(
    readonly fleet: TestFleet,
    readonly zones: Zones | null,
  ) {
    this.#watching = recordStore(fleet.dev.consul, fleet.dev.fleet.name).watch(({ records }) => {
      const at = now();
      for (const { record } of records) {
        const changes = this.#changes.get(record.database) ?? [];
        if (changes.at(-1)?.epoch !== record.epoch) changes.push({ epoch: record.epoch, at });
        this.#changes.set(record.database, changes);
      }
    }, this.#ending.signal);
  }

  async watched(): Promise<void> {
    const watches = watchStore(this.fleet.dev.consul, this.fleet.dev.fleet.name);
    await waitFor(
      async () => {
        const view = await watches.read(SERVER);
        const well = view?.databases.filter(({ verdict }) => verdict.state === 'well') ?? [];
        return well.length === this.fleet.databases.length;
      },
      { deadlineMs: WATCHED_WITHIN_MS, what: `${SERVER} to be watched` },
    );
  }

  stage(): Promise<Stage> {
    const database = this.fleet.databases[this.#next++];
    if (database === undefined) throw new FleetError('NotFound', 'The fleet has no database left.');
    return this.stageOf(database);
  }

  async stageOf(database: string): Promise<Stage> {
    const { leader, follower, epoch } = await this.fleet.record(database);
    if (follower === null) throw new FleetError('NotFound', `${database} has no follower.`);
    return {
      system: 'ours',
      database,
      leader,
      follower,
      login: this.fleet.application,
      route: this.routeTo(),
      zones: this.zones,
      leaderPid: () => this.#pid(database, leader),
      changedAt: () => this.changedAfter(database, epoch),
      leaderNow: () => this.fleet.leader(database),
      switchOver: () => this.#switchOver(database),
      restartEmpty: () => this.#restartEmpty(database, leader),
      phases: (since) => this.#phases(database, epoch, since),
      end: () => Promise.resolve(),
    };
  }

  routeTo(): Route {
    return { by: 'fleet', fleet: this.fleet.dev.fleet.name, env: this.fleet.dev.env };
  }

  changedAfter(database: string, epoch: number): number | null {
    return this.#changes.get(database)?.find((change) => change.epoch > epoch)?.at ?? null;
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#watching.catch(() => undefined);
    await this.fleet.stop();
  }

  #pid(database: string, { host }: Endpoint): number {
    const pid = this.fleet.pidOf(database, host);
    if (pid === null) throw new FleetError('NotFound', `${database} does not run on ${host}.`);
    return pid;
  }

  async #switchOver(database: string): Promise<void> {
    const { temporal, fleet } = this.fleet.dev;
    const started = await startRunbook(
      temporal,
      'switchover',
      database,
      { database },
      { fleet: fleet.name, databases: [database] },
    );
    await temporal.workflow.getHandle(started.workflowId, started.runId).result();
  }

  #restartEmpty(database: string, { host }: Endpoint): void {
    const { directory, configuration, data } = processFiles(this.fleet.dev.data.host(host), database);
    rmSync(data, { force: true });
    spawn(findBinary('redis-server', process.env), [configuration], {
      cwd: directory,
      detached: true,
      stdio: 'ignore',
    }).unref();
  }

  /** Until the promotion was called for, and until the record named the new leader. */
  async #phases(database: string, epoch: number, since: number): Promise<Readonly<Record<string, number>>> {
    const changed = this.changedAfter(database, epoch);
    const phases = changed === null ? {} : { 'record changed': changed - since };
    try {
      const handle = this.fleet.dev.temporal.workflow.getHandle(workflowId('promoteFollower', database));
      const { startTime } = await handle.describe();
      return { 'promotion started': startTime.getTime() - wallClock(since), ...phases };
    } catch {
      // Nobody was promoted, or together with others.
      return phases;
    }
  }
}

/** What the wall clock showed at a moment of `now()`. */
function wallClock(moment: number): number {
  return Date.now() - (now() - moment);
}
