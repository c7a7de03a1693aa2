/** The host agent: runs beside Redis, does what must be done on its host, and tells the others how it is. */

import process from 'node:process';
import type { DataConverter } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import { backupAccess } from '../backups/access.js';
import { Client } from '@temporalio/client';
import { hostBackupActivities } from '../activities/hostBackups.js';
import { hostActivities } from '../activities/hostProcesses.js';
import { askTemporal } from '../activities/owner.js';
import { pausedForkActivities } from '../activities/pausedFork.js';
import { permitActivities } from '../activities/permits.js';
import { consulFromEnvironment } from '../connections/consul.js';
import type { HostActivities } from '../activities/contracts.js';
import { readCredentials } from '../connections/credentials.js';
import { readFleetFile } from '../connections/fleetFile.js';
import { createLog, type Log } from '../connections/log.js';
import { connectTemporalWorker } from '../connections/temporal.js';
import { FleetError } from '../fleet/errors.js';
import type { LeaseSettings } from '../fleet/lease.js';
import { hostQueue } from '../fleet/names.js';
import { backupRecordStore } from '../records/backups.js';
import { recordStore } from '../records/databases.js';
import { fleetStore } from '../records/fleet.js';
import { permitStore } from '../records/permits.js';
import { redisProcesses } from '../host/processes.js';
import { hostDuties } from '../host/duties.js';
import { scratch } from '../host/scratch.js';
import { redisCheckRdbProgram, redisServerProgram, type HostSettings } from '../host/settings.js';
import { HEARTBEAT_THROTTLE, activityInterceptors } from './activityInterceptors.js';
import { handBackInterrupted } from './interrupted.js';
import { installRuntime } from './runtime.js';
import { SHUTDOWN_FORCE, SHUTDOWN_GRACE, runUntil } from './control.js';

/** A host does few things at a time; each slot and poller costs memory where memory is tight. */
const MAX_ACTIVITIES = 8;
const MAX_POLLS = 2;

export interface AgentOptions {
  readonly env: NodeJS.ProcessEnv;
  /** The host's name in the fleet file. */
  readonly host: string;
  /** The directory that holds the processes' directories. */
  readonly data: string;
  /** Aborted: it finishes or hands back what it holds, and returns. Redis runs on. */
  readonly signal?: AbortSignal;
  /** Default: REDIS_FLEET_FILE. */
  readonly fleetFile?: string;
  readonly log?: Log;
  /** Run inside ours. */
  readonly interceptors?: readonly ActivityInterceptorsFactory[];
  readonly dataConverter?: DataConverter;
  /** Called once it polls. */
  readonly onReady?: () => void;
}

/**
 * Runs until `signal` aborts. While Temporal or Consul is away it waits, saying so; what it can do without them it does.
 * @throws FleetError for what waiting does not mend: credentials, settings, the fleet file, an unknown host
 */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { env, host, log = createLog(`agent ${host}`, env) } = options;
  const { fleet, address, memory, leases } = await findHost(env, host, options.fleetFile);
  const settings: HostSettings = {
    host,
    address,
    memory,
    data: options.data,
    credentials: readCredentials(env),
    redisServer: redisServerProgram(env),
  };
  // Data files are nobody's business but ours and our group's.
  process.umask(0o027);
  installRuntime(log);

  const consul = consulFromEnvironment(env);
  const processes = redisProcesses(settings);
  const duties = hostDuties({ fleet, settings, processes, consul, log, leases });
  const access = backupAccess(env);
  const redisCheckRdb = redisCheckRdbProgram(env);
  // What a drill left whose agent was killed, and that nobody may try again.
  await scratch(settings).remove();
  const beside = hostActivities({
    settings,
    processes,
    backups: access,
    redisCheckRdb,
    currentSignal: () => Context.current().cancellationSignal,
    currentRun: () => Context.current().info.workflowExecution?.runId ?? 'nobody',
    onChange: () => duties.wake(),
  });
  const activitiesWith = (client: Client): HostActivities => ({
    ...beside,
    ...pausedForkActivities({ settings, processes }),
    ...hostBackupActivities({
      settings,
      processes,
      fleetName: fleet,
      fleet: fleetStore(consul, fleet),
      records: recordStore(consul, fleet),
      backups: backupRecordStore(consul, fleet),
      permit: permitActivities({
        permits: permitStore(consul, fleet),
        askOwnerState: askTemporal(client),
      }),
      access,
      redisCheckRdb,
    }),
  });

  // Either half may end only with the other.
  const ending = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;
  const halves = [duties.run(signal), serve(options, activitiesWith, log, signal)];
  try {
    await Promise.all(halves);
    log.info(`Agent of ${host} stopped; its Redis processes run on.`);
  } catch (error) {
    ending.abort();
    await Promise.allSettled(halves);
    // Told to stop while it waited: that is no failure.
    if (options.signal?.aborted && !(error instanceof FleetError)) return;
    throw error;
  } finally {
    consul.close();
  }
}

async function serve(
  options: AgentOptions,
  activitiesWith: (client: Client) => HostActivities,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const { host, interceptors = [], dataConverter } = options;
  const { connection, namespace } = await connectTemporalWorker(options.env, {
    patience: 'forever',
    log,
    signal,
  });
  try {
    const taskQueue = hostQueue(host);
    const client = new Client({ connection, namespace, ...(dataConverter ? { dataConverter } : {}) });
    await handBackInterrupted(client, options.data, log);
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue,
      activities: { ...activitiesWith(client) },
      ...(dataConverter ? { dataConverter } : {}),
      interceptors: { activity: [activityInterceptors, ...interceptors] },
      maxConcurrentActivityTaskExecutions: MAX_ACTIVITIES,
      maxConcurrentActivityTaskPolls: MAX_POLLS,
      shutdownGraceTime: SHUTDOWN_GRACE,
      shutdownForceTime: SHUTDOWN_FORCE,
      maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    });
    await runUntil(worker, signal, () => {
      log.info({ namespace }, `Agent of ${host} polls task queue ${taskQueue}.`);
      options.onReady?.();
    });
  } finally {
    await connection.close();
  }
}

/** The fleet file is read once and dropped: an agent is small. */
async function findHost(
  env: NodeJS.ProcessEnv,
  host: string,
  file: string | undefined,
): Promise<{ fleet: string; address: string; memory: number; leases: LeaseSettings }> {
  const fleet = await readFleetFile(env, file);
  const hosts = fleet.servers.flatMap((server) => server.hosts);
  const found = hosts.find(({ name }) => name === host);
  const leases = { ttl: fleet.leases.ttl, downAfter: fleet.detection.downAfter };
  if (found !== undefined) return { fleet: fleet.name, address: found.address, memory: found.memory, leases };
  throw new FleetError(
    'InvalidRequest',
    `--host: fleet ${fleet.name} has no host "${host}". Its hosts are ${hosts.map(({ name }) => name).join(', ')}. ` +
      `Name one of them, or add "${host}" to the fleet file.`,
  );
}
