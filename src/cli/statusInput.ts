/** Collects what status and check look at: Consul must answer, Temporal may be away. */

import type { FleetConsul } from '../connections/consul.js';
import { messageOf } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { consulKeys } from '../fleet/names.js';
import type { BackupSummary, StatusInput } from '../fleet/statusView.js';
import type { CliContext } from './context.js';
import { withTemporal } from './connect.js';
import { readKnownFleet } from './fleetInput.js';

export interface StatusSources {
  readonly input: StatusInput;
  /** Whether the fleet of the file was ever applied. */
  readonly applied: boolean;
}

/** @throws Unreachable, WrongCredentials (Consul) */
export async function readStatus(
  context: CliContext,
  consul: FleetConsul,
  file: Fleet,
): Promise<StatusSources> {
  const [{ watchStore }, { maintenanceStore }, { memoryStore }] = await Promise.all([
    import('../records/watches.js'),
    import('../records/maintenance.js'),
    import('../records/memory.js'),
  ]);
  const [known, backups, runbooks, watches, maintenance, histories] = await Promise.all([
    readKnownFleet(consul, file.name),
    readBackups(consul, file.name),
    openRunbooks(context, file.name),
    watchStore(consul, file.name).list(),
    maintenanceStore(consul, file.name).list(),
    memoryStore(consul, file.name).list(),
  ]);
  const { applied, records, unreadable, reports } = known;
  // What runs was applied; the file may be ahead of it.
  const fleet = applied?.fleet ?? file;
  return {
    input: {
      fleet,
      records,
      unreadable,
      reports,
      backups,
      watches,
      maintenance,
      histories,
      runbooks,
      now: Date.now(),
    },
    applied: applied !== null,
  };
}

async function openRunbooks(context: CliContext, fleet: string): Promise<StatusInput['runbooks']> {
  try {
    const { listRunbooks } = await import('./listRunbooks.js');
    const open = await withTemporal(context, (client) => listRunbooks(client, 0));
    return open.filter((runbook) => runbook.fleet === null || runbook.fleet === fleet);
  } catch (error) {
    return { unknown: `${messageOf(error)} Databases serve without it; runbooks wait, and are not shown.` };
  }
}

async function readBackups(consul: FleetConsul, fleet: string): Promise<BackupSummary[]> {
  const { listEntries } = await import('../records/kv.js');
  const prefix = consulKeys(fleet).backup('');
  return (await listEntries(consul, prefix)).flatMap(({ key, text }) => {
    const at = timeOf(text);
    return at === null ? [] : [{ database: key.slice(prefix.length), at }];
  });
}

/** null: no backup that anybody can date. */
function timeOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    const at = typeof value === 'object' && value !== null ? (Reflect.get(value, 'at') as unknown) : null;
    return typeof at === 'string' && !Number.isNaN(Date.parse(at)) ? at : null;
  } catch {
    return null;
  }
}
