/** The long activity of `watchServer`: one for each server, on any control worker. */

import { hostname } from 'node:os';
import process from 'node:process';
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { FleetConsul } from '../connections/consul.js';
import type { Credentials } from '../connections/credentials.js';
import type { Log } from '../connections/log.js';
import { startRunbook } from '../connections/startRunbook.js';
import { workflowId } from '../fleet/names.js';
import { WATCH_SIGNAL } from '../fleet/watchView.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { LeaseStore } from '../records/leases.js';
import { maintenanceStore } from '../records/maintenance.js';
import { readObserved, readReported } from '../records/observed.js';
import { watchStore } from '../records/watches.js';
import type { AskOwnerState } from './owner.js';
import { MemoryWatch } from './watch/memoryWatch.js';
import { Owners } from './watch/owners.js';
import { Promotions } from './watch/promotions.js';
import { ServerWatch } from './watch/serverWatch.js';
import { sharedRead } from './watch/sharedRead.js';
import { Surroundings } from './watch/surroundings.js';
import { Telling } from './watch/telling.js';
import type { WatchActivities } from './watchContract.js';
import type { WarmConnections } from './warmConnections.js';

export interface WatchDependencies {
  readonly fleetName: string;
  readonly consul: FleetConsul;
  readonly credentials: Credentials;
  /** Promotions use those to followers. */
  readonly connections: WarmConnections;
  /** Opens a client that says at once when Temporal is away; closed when nothing is watched here any more. */
  readonly openTemporal: () => Client;
  readonly log: Log;
  readonly records: RecordStore;
  readonly fleet: FleetStore;
  readonly leases: LeaseStore;
  readonly askOwnerState: AskOwnerState;
  /** The worker stops: another one shall watch at once. */
  readonly signal?: AbortSignal | undefined;
}

/** Then its workflow begins a new run: histories shall stay short. */
const LONGEST_WATCH_MS = 6 * 3_600_000;

/** A whole fleet's memory is much to read, and many servers may be in trouble at once. */
const ONE_LOOK_MS = 10_000;

interface Running {
  readonly watch: ServerWatch;
  readonly end: () => void;
}

export function watchActivities(dependencies: WatchDependencies): WatchActivities {
  const { consul, fleetName, fleet, records, leases, credentials, connections, log } = dependencies;
  const maintenance = maintenanceStore(consul, fleetName);
  const watches = watchStore(consul, fleetName);
  const surroundings = new Surroundings({ fleetName, consul, fleet, records, maintenance });
  const observeAll = sharedRead(ONE_LOOK_MS, () => readObserved(consul, fleetName));
  /** After an outage of Temporal it may start a watch that never ended here. */
  const running = new Map<string, Running>();
  let opened: Client | null = null;
  let users = 0;

  async function withTemporal(use: (temporal: Client) => Promise<void>): Promise<void> {
    opened ??= dependencies.openTemporal();
    users += 1;
    try {
      await use(opened);
    } finally {
      users -= 1;
      if (users === 0) {
        const { connection } = opened;
        opened = null;
        await connection.close();
      }
    }
  }

  async function knownRunIds(server: string): Promise<ReadonlyMap<string, string>> {
    try {
      const before = await watches.read(server);
      return new Map(
        (before?.databases ?? []).flatMap(({ database, epoch, runId }) =>
          runId === null ? [] : [[`${database} ${String(epoch)}`, runId] as const],
        ),
      );
    } catch {
      // Consul is away: whatever leads now is taken for the leader.
      return new Map();
    }
  }

  function memoryOf(server: string, temporal: Client): MemoryWatch {
    return new MemoryWatch({
      server,
      surroundings,
      observe: (hosts) => readReported(consul, fleetName, hosts),
      observeAll,
      temporal,
      workflowIdOf: (host) => workflowId('relocateDatabases', host),
      log,
      async start({ host, withoutAskingBelow }) {
        const request = { host, ...(withoutAskingBelow === null ? {} : { withoutAskingBelow }) };
        const subject = { fleet: fleetName, servers: [server], hosts: [host] };
        await startRunbook(temporal, 'relocateDatabases', host, request, subject);
      },
    });
  }

  async function watchLeaders(server: string, temporal: Client): Promise<void> {
    const { info, cancellationSignal } = Context.current();
    const workflowId = info.workflowExecution?.workflowId ?? '';
    const ending = new AbortController();
    const signals = [cancellationSignal, ...(dependencies.signal ? [dependencies.signal] : [])];
    const end = (): void => ending.abort();
    for (const signal of signals) signal.addEventListener('abort', end, { once: true });
    if (signals.some(({ aborted }) => aborted)) end();
    const timer = setTimeout(end, LONGEST_WATCH_MS);
    const handle = temporal.workflow.getHandle(workflowId);
    const telling = new Telling({ watches, log, signal: (view) => handle.signal(WATCH_SIGNAL, view) });
    const runIds = await knownRunIds(server);
    const before = running.get(server);
    const watch = new ServerWatch({
      server,
      workflowId,
      worker: `${hostname()}, process ${String(process.pid)}`,
      credentials,
      lend: (endpoint, current) => connections.lend(endpoint, current),
      surroundings,
      leases,
      owners: new Owners(dependencies.askOwnerState, () => watch.wake()),
      telling,
      log,
      knownRunIds: runIds,
      promotions: (self) =>
        new Promotions({
          temporal,
          fleetName,
          server,
          by: workflowId,
          log,
          signal: ending.signal,
          onChange: () => self.wake(),
          isMoreInDoubt: (host, called) => self.isMoreInDoubt(host, called),
        }),
    });
    if (before !== undefined) {
      watch.promotions.inherit(before.watch.promotions);
      before.end();
    }
    running.set(server, { watch, end });
    try {
      await Promise.all([watch.run(ending.signal), memoryOf(server, temporal).run(ending.signal)]);
    } finally {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', end);
      if (running.get(server)?.watch === watch) running.delete(server);
    }
    cancellationSignal.throwIfAborted();
    if (dependencies.signal?.aborted) {
      throw ApplicationFailure.retryable('This worker stops; another one watches.', 'WorkerStops');
    }
  }

  return {
    watchLeaders: ({ server }) => withTemporal((temporal) => watchLeaders(server, temporal)),
  };
}
