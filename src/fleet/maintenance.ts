/** Maintenance: an engineer works there, so no failure starts a promotion by itself. Kept in Consul. */

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
