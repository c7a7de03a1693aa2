/**
 * The alarms as numbers, for Prometheus: how old the last verified backup and the last drill of each database are, and
 * whether that is too old; and until when each host's memory lasts. Read from Consul when somebody asks: any control worker tells the same.
 */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Gauge, Registry } from 'prom-client';
import type { Log } from '../connections/log.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { freshnessOf } from '../fleet/freshness.js';
import { memoryAlarms } from '../fleet/memoryAlarm.js';
import { forecastFleet, type HostForecast } from '../fleet/relocation/forecast.js';
import { relocationState, type Observed } from '../fleet/relocation/observed.js';
import type { BackupRecordStore } from '../records/backups.js';
import type { DrillStore } from '../records/drills.js';
import type { FleetStore } from '../records/fleet.js';

/** Where metrics are served: `host:port`. Not set: nowhere. */
export const METRICS_VARIABLE = 'REDIS_FLEET_METRICS';

export interface MetricsSources {
  readonly fleet: Pick<FleetStore, 'applied'>;
  readonly backups: Pick<BackupRecordStore, 'list'>;
  readonly drills: Pick<DrillStore, 'list'>;
  /** What forecasts of memory are made from; absent: none are told. */
  readonly memory?: () => Promise<Omit<Observed, 'fleet' | 'now'>>;
}

export interface MetricsServer {
  /** As it listens. */
  readonly address: string;
  close(): void;
}

/** @throws FleetError InvalidRequest: no address, or one that cannot be listened on */
export async function serveMetrics(
  address: string,
  sources: MetricsSources,
  log: Pick<Log, 'info' | 'warn'>,
): Promise<MetricsServer> {
  const { host, port } = readAddress(address);
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('There is only GET /metrics.\n');
      return;
    }
    exposition(sources, Date.now()).then(
      ({ text, contentType }) => response.writeHead(200, { 'content-type': contentType }).end(text),
      (error: unknown) => {
        log.warn(`The metrics could not be told: ${messageOf(error)}`);
        response.writeHead(503, { 'content-type': 'text/plain' }).end(`${messageOf(error)}\n`);
      },
    );
  });
  await listening(server, host, port);
  const { address: at, port: on } = server.address() as AddressInfo;
  log.info(`Metrics are served at http://${at}:${String(on)}/metrics.`);
  return { address: `${at}:${String(on)}`, close: () => void server.close() };
}

/**
 * What Prometheus reads.
 * @param now milliseconds since 1970
 * @throws FleetError Unreachable, NotFound: no fleet file was applied yet. What is not known is not told as well
 */
export async function exposition(
  { fleet: fleets, backups, drills, memory }: MetricsSources,
  now: number,
): Promise<{ readonly text: string; readonly contentType: string }> {
  const [applied, taken, drilled] = await Promise.all([
    fleets.applied('there is nothing to tell of it'),
    backups.list(),
    drills.list(),
  ]);
  const registry = new Registry();
  const gauge = gauges(registry);
  const { name: fleet, databases, backups: settings }: Fleet = applied;
  gauge.paused.set({ fleet }, settings.paused ? 1 : 0);
  for (const { name: database } of databases) {
    const labels = { fleet, database };
    const backup = taken.find((one) => one.database === database);
    const { age, overdue } = freshnessOf(database, backup?.at ?? null, settings, now);
    gauge.overdue.set(labels, overdue && !settings.paused ? 1 : 0);
    if (age !== null) gauge.age.set(labels, age);
    if (backup !== undefined) gauge.bytes.set(labels, backup.storedBytes);
    const drill = drilled.find((one) => one.database === database);
    if (drill === undefined) continue;
    gauge.drillFailed.set(labels, drill.passed ? 0 : 1);
    gauge.restoreSeconds.set(labels, drill.seconds);
    if (drill.lastPassed !== null)
      gauge.drillAge.set(labels, Math.max(0, Math.round((now - Date.parse(drill.lastPassed)) / 1_000)));
  }
  if (memory !== undefined)
    tellMemory(gauge, applied, forecastFleet(relocationState({ fleet: applied, ...(await memory()), now })));
  return { text: await registry.metrics(), contentType: registry.contentType };
}

/** What never ends is not told: no number would say so. */
function tellMemory(
  gauge: ReturnType<typeof gauges>,
  fleet: Fleet,
  forecasts: readonly HostForecast[],
): void {
  const alarms = new Set(memoryAlarms(forecasts, fleet.relocation).map(({ host }) => host));
  for (const { host, available, forks, forkEnds, memoryEnds } of forecasts) {
    const labels = { fleet: fleet.name, host };
    gauge.available.set(labels, available);
    gauge.memoryAlarm.set(labels, alarms.has(host) ? 1 : 0);
    const [largest] = forks;
    if (largest !== undefined) gauge.headroom.set(labels, largest.left);
    if (forkEnds.expected !== null) gauge.forkEnds.set(labels, forkEnds.expected);
    if (memoryEnds.expected !== null) gauge.memoryEnds.set(labels, memoryEnds.expected);
  }
}

function gauges(registry: Registry) {
  const ofHost = (name: string, help: string) =>
    new Gauge({
      name: `redis_fleet_host_${name}`,
      help,
      labelNames: ['fleet', 'host'] as const,
      registers: [registry],
    });
  const ofDatabase = (name: string, help: string) =>
    new Gauge({
      name: `redis_fleet_${name}`,
      help,
      labelNames: ['fleet', 'database'] as const,
      registers: [registry],
    });
  return {
    paused: new Gauge({
      name: 'redis_fleet_backups_paused',
      help: '1: the fleet file pauses all backups, and none is overdue.',
      labelNames: ['fleet'] as const,
      registers: [registry],
    }),
    overdue: ofDatabase(
      'backup_overdue',
      '1: the last verified backup is older than its deadline, or there is none. Alarm on this.',
    ),
    age: ofDatabase('backup_age_seconds', 'Age of the data of the last verified backup.'),
    bytes: ofDatabase('backup_stored_bytes', 'Size of the last verified backup in the store.'),
    drillAge: ofDatabase('drill_age_seconds', 'Time since a drill of this database last passed.'),
    drillFailed: ofDatabase('drill_failed', '1: the last drill found the backup unfit. Alarm on this.'),
    available: ofHost('memory_available_bytes', 'Memory that Redis on this host may still take.'),
    headroom: ofHost(
      'fork_headroom_bytes',
      'What a fork of its largest database would leave beside the reserve; negative: it does not fit.',
    ),
    forkEnds: ofHost(
      'fork_fits_seconds',
      'Until its largest fork is expected to fit no longer. Absent: it stays.',
    ),
    memoryEnds: ofHost('memory_ends_seconds', 'Until its memory is expected to end. Absent: it does not.'),
    memoryAlarm: ofHost(
      'memory_alarm',
      '1: the largest fork fits no longer, or soon will not (relocation.forkNoLongerFitsWithin). Alarm on this.',
    ),
    restoreSeconds: ofDatabase('drill_restore_seconds', 'How long the last drill took to load the backup.'),
  };
}

function readAddress(text: string): { readonly host: string; readonly port: number } {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== '' && Number(port) <= 65_535)
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
  throw new FleetError(
    'InvalidRequest',
    `${METRICS_VARIABLE} is "${text}", and must be an address and a port, e.g. 127.0.0.1:9464.`,
  );
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new FleetError(
          'InvalidRequest',
          `Metrics cannot be served at ${host}:${String(port)} (${METRICS_VARIABLE}): ${error.message}. The worker was not started.`,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
}
