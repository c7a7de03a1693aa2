/** The control worker: runs the workflows, and the activities that need only the network. */

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import type { ActivityInterceptorsFactory, NativeConnection, WorkflowBundleOption } from '@temporalio/worker';
import { askTemporal } from '../activities/owner.js';
import { drillActivities } from '../activities/drills.js';
import { recordActivities } from '../activities/records.js';
import { moveActivities } from '../activities/moves.js';
import { relocationActivities } from '../activities/relocation.js';
import { pauseActivities } from '../activities/pauseWrites.js';
import { promotionActivities } from '../activities/promotion.js';
import { backupActivities } from '../activities/backups.js';
import { redisActivities } from '../activities/redis.js';
import { requestActivities } from '../activities/requests.js';
import { restoreActivities } from '../activities/restore.js';
import { switchoverActivities } from '../activities/switchover.js';
import { warmConnections } from '../activities/warmConnections.js';
import { watchActivities } from '../activities/watch.js';
import type { ControlActivities } from '../activities/contracts.js';
import { awaitConsul, consulFromEnvironment } from '../connections/consul.js';
import type { FleetConsul } from '../connections/consul.js';
import { readCredentials } from '../connections/credentials.js';
import { readFleetFile } from '../connections/fleetFile.js';
import { impatientTemporalClient } from '../connections/impatientTemporal.js';
import { createLog } from '../connections/log.js';
import type { Log } from '../connections/log.js';
import { patiently } from '../connections/patience.js';
import { ensureSearchAttributes } from '../connections/searchAttributes.js';
import { connectTemporalWorker } from '../connections/temporal.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { CONTROL_QUEUE } from '../fleet/names.js';
import { backupRecordStore } from '../records/backups.js';
import { recordStore } from '../records/databases.js';
import { drillStore } from '../records/drills.js';
import { fleetStore } from '../records/fleet.js';
import { leaseStore } from '../records/leases.js';
import { maintenanceStore } from '../records/maintenance.js';
import { memoryStore } from '../records/memory.js';
import { readObserved } from '../records/observed.js';
import { permitStore } from '../records/permits.js';
import { reportStore } from '../records/reports.js';
import { HEARTBEAT_THROTTLE, activityInterceptors } from './activityInterceptors.js';
import { METRICS_VARIABLE, serveMetrics, type MetricsServer } from './metrics.js';
import { installRuntime } from './runtime.js';

/** Running activities may finish in this time; then they are cancelled, and go on in another worker. */
export const SHUTDOWN_GRACE = '10s';
/** What does not even obey its cancellation is left behind. */
export const SHUTDOWN_FORCE = '20s';

/** How long the next step waits for the worker that knew the runbook, when that one died. The default is 10 s. */
const STICKY_TIMEOUT = '2 seconds';
/** A workflow outside the cache is replayed from its history when it moves on: runbooks mostly wait. */
const MAX_CACHED_WORKFLOWS = 200;
const MAX_ACTIVITIES = 100;

export interface ControlWorkerOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Aborted: it finishes or hands back what it holds, and returns. */
  readonly signal?: AbortSignal;
  /** Default: REDIS_FLEET_FILE. */
  readonly fleetFile?: string;
  readonly log?: Log;
  /** Default: what `scripts/build` made. */
  readonly workflowBundle?: WorkflowBundleOption;
  /** Run inside ours. */
  readonly interceptors?: readonly ActivityInterceptorsFactory[];
  readonly dataConverter?: DataConverter;
  /** Called once it polls. */
  readonly onReady?: () => void;
}

/**
 * Runs until `signal` aborts. While Temporal or Consul is away at the start it waits, saying so.
 * @throws FleetError for what waiting does not mend: credentials, settings, the fleet file
 */
export async function runControlWorker(options: ControlWorkerOptions): Promise<void> {
  const { env, signal, log = createLog('worker', env) } = options;
  const { name: fleetName } = await readFleetFile(env, options.fleetFile);
  const credentials = readCredentials(env);
  const workflowBundle = options.workflowBundle ?? builtBundle();
  installRuntime(log);

  const patient = { patience: 'forever', log, signal } as const;
  const consul = consulFromEnvironment(env);
  const metricsAddress = env[METRICS_VARIABLE];
  let metrics: MetricsServer | null = null;
  try {
    const drills = drillStore(consul, fleetName);
    // Before anything is waited for: an alarm that nobody can read is none.
    if (metricsAddress !== undefined && metricsAddress !== '')
      metrics = await serveMetrics(
        metricsAddress,
        { ...stores(consul, fleetName), drills, memory: () => readObserved(consul, fleetName) },
        log,
      );
    await awaitConsul(consul, patient);
    const { connection, namespace } = await connectTemporalWorker(env, patient);
    try {
      await addSearchAttributes(connection, namespace, patient);
      const client = new Client({ connection, namespace, ...converter(options) });
      const known = { ...stores(consul, fleetName), fleetName, askOwnerState: askTemporal(client) };
      const openTemporal = (): Client => impatientTemporalClient(env, options.dataConverter);
      const connections = warmConnections(credentials);
      const activities: ControlActivities = {
        ...requestActivities({ fleetName }),
        ...recordActivities(known),
        ...redisActivities({ credentials }),
        ...switchoverActivities({ ...known, credentials }),
        ...moveActivities({
          ...known,
          maintenance: maintenanceStore(consul, fleetName),
          memory: memoryStore(consul, fleetName),
          credentials,
        }),
        ...relocationActivities({ consul, fleetName }),
        ...drillActivities({
          ...known,
          reports: reportStore(consul, fleetName),
          drills,
        }),
        ...restoreActivities({ ...known, credentials }),
        ...backupActivities(known),
        ...pauseActivities({ ...known, credentials }),
        ...promotionActivities({ ...known, consul, credentials, connections }),
        ...watchActivities({ ...known, consul, credentials, connections, openTemporal, log, signal }),
      };
      const worker = await Worker.create({
        connection,
        namespace,
        taskQueue: CONTROL_QUEUE,
        workflowBundle,
        activities,
        ...converter(options),
        interceptors: { activity: [activityInterceptors, ...(options.interceptors ?? [])] },
        reuseV8Context: true,
        maxCachedWorkflows: MAX_CACHED_WORKFLOWS,
        stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT,
        maxConcurrentActivityTaskExecutions: MAX_ACTIVITIES,
        shutdownGraceTime: SHUTDOWN_GRACE,
        shutdownForceTime: SHUTDOWN_FORCE,
        maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
      });
      await runUntil(worker, signal, () => {
        log.info(
          { namespace, fleet: fleetName },
          `Worker for fleet ${fleetName} polls task queue ${CONTROL_QUEUE}.`,
        );
        options.onReady?.();
      });
      log.info('Worker stopped; what it could not finish goes on in another worker.');
    } finally {
      await connection.close();
    }
  } catch (error) {
    // Told to stop while it waited: that is no failure.
    if (signal?.aborted && !(error instanceof FleetError)) return;
    throw error;
  } finally {
    metrics?.close();
    consul.close();
  }
}

/** Runs a worker until the signal aborts and it has drained. Shared with the host agent. */
export async function runUntil(
  worker: Worker,
  signal: AbortSignal | undefined,
  onRun: () => void,
): Promise<void> {
  const stop = (): void => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const running = worker.run();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  else onRun();
  try {
    await running;
  } catch (error) {
    throw new FleetError(
      'Unreachable',
      `The worker had to stop: ${messageOf(error)}. What it held goes on in another worker.`,
      {
        cause: error,
      },
    );
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function converter({ dataConverter }: ControlWorkerOptions): { dataConverter?: DataConverter } {
  return dataConverter ? { dataConverter } : {};
}

function stores(consul: FleetConsul, fleet: string) {
  return {
    records: recordStore(consul, fleet),
    permits: permitStore(consul, fleet),
    leases: leaseStore(consul, fleet),
    fleet: fleetStore(consul, fleet),
    backups: backupRecordStore(consul, fleet),
  };
}

async function addSearchAttributes(
  connection: NativeConnection,
  namespace: string,
  patient: { readonly patience: 'forever'; readonly log: Log; readonly signal: AbortSignal | undefined },
): Promise<void> {
  try {
    await patiently(() => ensureSearchAttributes(connection, namespace), patient);
  } catch (error) {
    // Somebody else may have added them: runbooks will tell.
    if (!(error instanceof FleetError) || error.kind !== 'WrongCredentials') throw error;
    patient.log.warn(error.message);
  }
}

/** dist/workflow-bundle.js, seen from dist/workers/ and, in development, from src/workers/. */
function builtBundle(): WorkflowBundleOption {
  const places = ['../workflow-bundle.js', '../../dist/workflow-bundle.js'];
  const found = places
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((file) => existsSync(file));
  if (found) return { codePath: found };
  throw new FleetError(
    'NotFound',
    'The workflow bundle was not built yet: run `scripts/build`, then start the worker again.',
  );
}
