/** The status as tables. Pure. */

import { endMaintenance, maintenanceText } from '../fleet/maintenance.js';
import { showForecast } from '../fleet/memoryAlarm.js';
import { showDuration, showSize } from '../fleet/quantities.js';
import type { DatabaseStatus, HostStatus, ProcessStatus, StatusView } from '../fleet/statusView.js';
import { table } from './table.js';

export function statusText(view: StatusView, options: { readonly lines: boolean }): string {
  const hosts = view.servers.flatMap(({ server, hosts: pair }) => pair.map((host) => hostRow(server, host)));
  const blocks = [
    `Fleet ${view.fleet}`,
    table(
      ['server', 'host', 'zone', 'address', 'agent', 'memory used', 'a fork fits', 'processes'],
      hosts,
      options,
    ),
    table(
      ['database', 'leader', 'follower', 'lag', 'memory', 'backup', 'runbook'],
      view.databases.map(databaseRow),
      options,
    ),
  ];
  const { problems, maintenance } = view;
  if (maintenance.length > 0) {
    const lines = maintenance.map((one) => `  The ${maintenanceText(one)}; end it: ${endMaintenance(one)}`);
    blocks.push(['Promoted by nobody but a person:', ...lines].join('\n'));
  }
  blocks.push(
    problems.length === 0
      ? 'All is well.'
      : ['Not well:', ...problems.map((problem) => `  ${problem}`)].join('\n'),
  );
  return blocks.join('\n\n');
}

function hostRow(server: string, host: HostStatus): string[] {
  const { memory } = host;
  const agent =
    host.report === 'none'
      ? 'never reported'
      : host.report === 'stale'
        ? `silent for ${showDuration((host.reportAge ?? 0) * 1_000)}`
        : 'reports';
  const used =
    memory === null ? '' : `${showSize(memory.total - memory.available)} of ${showSize(memory.total)}`;
  const age = host.report === 'stale' ? ' (old)' : '';
  const processes = host.report === 'none' ? '' : `${String(host.processes)}${age}`;
  const fits = host.forecast === null ? '' : showForecast(host.forecast.forkEnds) || 'always';
  const memoryUsed = `${used}${used === '' ? '' : age}`;
  return [server, host.host, host.zone, host.address, agent, memoryUsed, fits, processes];
}

function databaseRow(database: DatabaseStatus): string[] {
  const { usedMemory, maxmemory, lag, backup, runbook } = database;
  const limit = maxmemory === null ? '' : ` of ${showSize(maxmemory)}`;
  return [
    database.database,
    processText(database.leader, 'leader'),
    processText(database.follower, 'follower'),
    lag === null ? '?' : showSize(lag),
    `${usedMemory === null ? '?' : showSize(usedMemory)}${limit}`,
    backup === null ? 'never' : `${showDuration(backup.age * 1_000)} ago`,
    runbook === null ? '' : `${runbook.workflowId}${runbook.status === null ? '' : ` (${runbook.status})`}`,
  ];
}

function processText(process: ProcessStatus | null, wanted: 'leader' | 'follower'): string {
  if (process === null) return 'none';
  const state = process.state === 'running' ? '' : ` (${process.state})`;
  const role = process.role === null || process.role === wanted ? '' : ` (is a ${process.role})`;
  return `${process.host}:${String(process.port)}${state}${role}`;
}
