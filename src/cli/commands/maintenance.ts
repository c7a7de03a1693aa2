/** `redis-fleet maintenance on|off|list`: while an engineer works on something, its failures promote nobody. */

import { FleetError } from '../../fleet/errors.js';
import type { Fleet } from '../../fleet/fleet.js';
import { endMaintenance, isOver, maintenanceText } from '../../fleet/maintenance.js';
import type { Maintenance, MaintenanceScope } from '../../fleet/maintenance.js';
import { didYouMean } from '../../fleet/nameRule.js';
import { parseDuration } from '../../fleet/quantities.js';
import type { FleetConsul } from '../../connections/consul.js';
import { printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul } from '../connect.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';

export interface MaintenanceTarget {
  readonly database?: string;
  readonly host?: string;
  readonly fleet?: boolean;
}

export interface MaintenanceOnOptions extends MaintenanceTarget {
  readonly reason: string;
  readonly by?: string;
  /** In the words of the fleet file: `1h`. */
  readonly for?: string;
  readonly file?: string;
  readonly json?: boolean;
}

export interface MaintenanceOffOptions extends MaintenanceTarget {
  readonly file?: string;
  readonly json?: boolean;
}

export async function maintenanceOn(context: CliContext, options: MaintenanceOnOptions): Promise<ExitCode> {
  const lasting = options.for === undefined ? null : duration(options.for);
  const begun = await withTarget(context, options, async (consul, fleet, target) => {
    const now = Date.now();
    const maintenance: Maintenance = {
      ...target,
      by: options.by ?? context.env['USER'] ?? 'unknown',
      reason: options.reason,
      since: new Date(now).toISOString(),
      ...(lasting === null ? {} : { until: new Date(now + lasting).toISOString() }),
    };
    await (await store(consul, fleet.name)).begin(maintenance);
    return maintenance;
  });
  if (options.json) printJson(context, begun);
  else {
    printLine(context, `The ${maintenanceText(begun)}.`);
    printLine(context, `No failure there promotes anybody by itself. End it with: ${endMaintenance(begun)}`);
  }
  return WELL;
}

export async function maintenanceOff(context: CliContext, options: MaintenanceOffOptions): Promise<ExitCode> {
  const { target, ended } = await withTarget(context, options, async (consul, fleet, found) => ({
    target: found,
    ended: await (await store(consul, fleet.name)).end(found.scope, found.name),
  }));
  if (options.json) printJson(context, { ...target, ended });
  else {
    const what = `${target.scope} ${target.name}`;
    printLine(
      context,
      ended ? `The maintenance of ${what} is over.` : `There was no maintenance of ${what}.`,
    );
  }
  return WELL;
}

export async function maintenanceList(
  context: CliContext,
  options: { readonly file?: string; readonly json?: boolean },
): Promise<ExitCode> {
  const { name } = await fleetOfFile(context, undefined, options.file);
  const all = await withConsul(context, async (consul) => (await store(consul, name)).list());
  const now = Date.now();
  const lasting = all.filter((one) => !isOver(one, now));
  if (options.json) printJson(context, { fleet: name, maintenance: lasting });
  else if (lasting.length === 0) printLine(context, `Nothing of fleet ${name} is in maintenance.`);
  else {
    for (const one of lasting) {
      printLine(context, `The ${maintenanceText(one)}. End it with: ${endMaintenance(one)}`);
    }
  }
  return WELL;
}

type Target = Pick<Maintenance, 'scope' | 'name'>;

/** What is named must be there: a slip of the pen would leave an engineer without what he relies on. */
async function withTarget<T>(
  context: CliContext,
  options: MaintenanceTarget & { readonly file?: string },
  use: (consul: FleetConsul, fleet: Fleet, target: Target) => Promise<T>,
): Promise<T> {
  const { name } = await fleetOfFile(context, undefined, options.file);
  const asked = askedFor(options, name);
  return await withConsul(context, async (consul) => {
    const known = await readKnownFleet(consul, name);
    const fleet = requireApplied(known, name);
    const names: Readonly<Record<MaintenanceScope, readonly string[]>> = {
      fleet: [name],
      host: fleet.servers.flatMap(({ hosts }) => hosts.map((host) => host.name)),
      database: [...fleet.databases.map((one) => one.name), ...known.records.map(({ database }) => database)],
    };
    if (!names[asked.scope].includes(asked.name)) {
      const meant = didYouMean(asked.name, names[asked.scope]);
      const hint = meant === null ? 'See what there is with: redis-fleet status' : `Did you mean ${meant}?`;
      throw new FleetError(
        'InvalidRequest',
        `Fleet ${name} has no ${asked.scope} ${asked.name}, so nothing was changed. ${hint}`,
      );
    }
    return await use(consul, fleet, asked);
  });
}

function askedFor({ database, host, fleet }: MaintenanceTarget, fleetName: string): Target {
  const given: Target[] = [
    ...(database === undefined ? [] : [{ scope: 'database' as const, name: database }]),
    ...(host === undefined ? [] : [{ scope: 'host' as const, name: host }]),
    ...(fleet === true ? [{ scope: 'fleet' as const, name: fleetName }] : []),
  ];
  const [only, ...more] = given;
  if (only !== undefined && more.length === 0) return only;
  throw new UsageError('Name exactly one of --database D, --host H and --fleet. Nothing was done.');
}

function duration(text: string): number {
  const parsed = parseDuration(text);
  if (parsed.ok) return parsed.value;
  throw new UsageError(`--for: ${parsed.problem}. Nothing was done.`);
}

async function store(consul: FleetConsul, fleet: string) {
  const { maintenanceStore } = await import('../../records/maintenance.js');
  return maintenanceStore(consul, fleet);
}
