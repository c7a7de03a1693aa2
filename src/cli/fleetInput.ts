/** Which fleet a command is about, and what Consul knows of it. */

import { FleetError } from '../fleet/errors.js';
import type { HostReport } from '../fleet/facts.js';
import type { Fleet } from '../fleet/fleet.js';
import type { DatabaseRecord } from '../fleet/record.js';
import type { FleetConsul } from '../connections/consul.js';
import { readFleetFile } from '../connections/fleetFile.js';
import type { CliContext } from './context.js';
import { UsageError } from './failures.js';

/** @throws InvalidFleetFile, InvalidRequest (two files named) */
export async function fleetOfFile(context: CliContext, argument?: string, option?: string): Promise<Fleet> {
  if (argument !== undefined && option !== undefined && argument !== option) {
    throw new UsageError(
      `Two fleet files are named, ${argument} and --file ${option}: name one. Nothing was done.`,
    );
  }
  return await readFleetFile(context.env, argument ?? option);
}

export interface KnownFleet {
  /** null: no fleet of that name was applied yet. */
  readonly applied: { readonly fleet: Fleet; readonly modifyIndex: number } | null;
  readonly records: readonly DatabaseRecord[];
  readonly unreadable: readonly { readonly database: string; readonly problem: string }[];
  readonly reports: readonly HostReport[];
}

/** @throws Unreachable, WrongCredentials, InvalidRecord (the applied fleet is unreadable) */
export async function readKnownFleet(consul: FleetConsul, name: string): Promise<KnownFleet> {
  const [{ fleetStore }, { recordStore }, { reportStore }] = await Promise.all([
    import('../records/fleet.js'),
    import('../records/databases.js'),
    import('../records/reports.js'),
  ]);
  const [applied, list, reports] = await Promise.all([
    fleetStore(consul, name).read(),
    recordStore(consul, name).list(),
    reportStore(consul, name).list(),
  ]);
  return {
    applied,
    records: list.records.map(({ record }) => record),
    unreadable: list.invalid.map(({ database, problem }) => ({ database, problem: problem.message })),
    reports,
  };
}

/** For commands that work on what was applied. @throws NotFound */
export function requireApplied(known: KnownFleet, name: string): Fleet {
  if (known.applied !== null) return known.applied.fleet;
  throw new FleetError(
    'NotFound',
    `Fleet ${name} was not applied yet, so nothing of it runs. Look with: redis-fleet plan, then run: redis-fleet apply`,
  );
}
