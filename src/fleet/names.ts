/** Every name that another system sees: task queues, workflow ids, Consul keys, search attributes. */

export const CONTROL_QUEUE = 'redis-fleet';

export function hostQueue(host: string): string {
  return `host/${host}`;
}

export const WORKFLOW_TYPES = [
  'provisionServer',
  'bringUpFollower',
  'switchover',
  'promoteFollower',
  'moveDatabase',
  'relocateDatabases',
  'pauseWrites',
  'watchServer',
  'restoreDatabase',
  'drillBackups',
  'backupDatabase',
  'backupSweep',
] as const;
export type WorkflowType = (typeof WORKFLOW_TYPES)[number];

/** One procedure at a time on one subject: Temporal refuses a second open workflow with the same id. */
export function workflowId(type: WorkflowType, subject: string): string {
  return `${type}/${subject}`;
}

/** Temporal adds the time to the id of each workflow that a schedule starts. */
export function scheduleId(type: WorkflowType, subject: string): string {
  return workflowId(type, subject);
}

export interface ConsulKeys {
  readonly prefix: string;
  readonly fleet: string;
  readonly databases: string;
  database(name: string): string;
  permit(host: string): string;
  report(host: string): string;
  /** How the memory of a host went. */
  memory(host: string): string;
  lease(host: string): string;
  /** What the watch of a server saw last. */
  watch(server: string): string;
  readonly maintenance: string;
  maintenanceOf(scope: 'fleet' | 'host' | 'database', name: string): string;
  backup(database: string): string;
  /** What the last drill of a database found. */
  drill(database: string): string;
}

export function consulKeys(fleet: string): ConsulKeys {
  const prefix = `redis-fleet/${fleet}/`;
  return {
    prefix,
    fleet: `${prefix}fleet`,
    databases: `${prefix}databases/`,
    database: (name) => `${prefix}databases/${name}`,
    permit: (host) => `${prefix}permits/${host}`,
    report: (host) => `${prefix}hosts/${host}`,
    memory: (host) => `${prefix}memory/${host}`,
    lease: (host) => `${prefix}leases/${host}`,
    watch: (server) => `${prefix}watches/${server}`,
    maintenance: `${prefix}maintenance/`,
    maintenanceOf: (scope, name) => `${prefix}maintenance/${scope}/${name}`,
    backup: (database) => `${prefix}backups/${database}`,
    drill: (database) => `${prefix}drills/${database}`,
  };
}

/** Search attribute names, with Temporal's type for each. */
export const SEARCH_ATTRIBUTES = {
  RedisFleet: 'KEYWORD',
  RedisServer: 'KEYWORD_LIST',
  RedisDatabase: 'KEYWORD_LIST',
  RedisHost: 'KEYWORD_LIST',
  RunbookStatus: 'KEYWORD',
} as const;
