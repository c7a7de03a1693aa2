/** Maintenance: an engineer works there, so no failure starts a promotion by itself. Kept in Consul. */

import type { DatabaseRecord } from './record.js';

export const MAINTENANCE_SCOPES = ['fleet', 'host', 'database'] as const;
export type MaintenanceScope = (typeof MAINTENANCE_SCOPES)[number];

export interface Maintenance {
  readonly scope: MaintenanceScope;
  /** Of the fleet, host or database. */
  readonly name: string;
  readonly by: string;
  readonly reason: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  /** It ends by itself then. ISO 8601, UTC. */
  readonly until?: string;
}

/** @param now milliseconds since 1970 */
export function isOver({ until }: Maintenance, now: number): boolean {
  return until !== undefined && Date.parse(until) <= now;
}

/**
 * The maintenance that keeps a database from being promoted automatically now: its own, that of a host of its leader
 * or follower, or the fleet's. null: none.
 * @param now milliseconds since 1970
 */
export function maintenanceOf(
  record: Pick<DatabaseRecord, 'database' | 'leader' | 'follower'>,
  all: readonly Maintenance[],
  now: number,
): Maintenance | null {
  const covers = ({ scope, name }: Maintenance): boolean => {
    switch (scope) {
      case 'database':
        return name === record.database;
      case 'host':
        return name === record.leader.host || name === record.follower?.host;
      case 'fleet':
        return true;
    }
  };
  const covering = all.filter((one) => !isOver(one, now) && covers(one));
  // The narrowest is the one that an engineer most likely looks for.
  return (
    MAINTENANCE_SCOPES.toReversed()
      .map((scope) => covering.find((one) => one.scope === scope))
      .find((one) => one !== undefined) ?? null
  );
}

/** `host redis-01-a is in maintenance since … (ana: new memory), until …` */
export function maintenanceText({ scope, name, by, reason, since, until }: Maintenance): string {
  const end = until === undefined ? '' : `, until ${clock(until)}`;
  return `${scope} ${name} is in maintenance since ${clock(since)}${end} (${by}: ${reason})`;
}

/** The command that ends it. */
export function endMaintenance({ scope, name }: Pick<Maintenance, 'scope' | 'name'>): string {
  return `redis-fleet maintenance off ${scope === 'fleet' ? '--fleet' : `--${scope} ${name}`}`;
}

/** `2026-11-22 12:00:00 UTC` */
function clock(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`;
}
