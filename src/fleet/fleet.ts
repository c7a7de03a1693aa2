/**
 * The fleet as its file describes it, after validation. Sizes are bytes, durations milliseconds.
 * Plain types only: workflows import this file.
 */

export interface Host {
  readonly name: string;
  readonly zone: string;
  /** IP address that Redis binds to and that the other hosts reach. */
  readonly address: string;
  /** Memory that Redis on this host may plan with, in bytes. */
  readonly memory: number;
}

/** A numbered pair of hosts in two zones; the first leads by default. */
export interface Server {
  readonly name: string;
  readonly hosts: readonly [Host, Host];
}

export interface Database {
  readonly name: string;
  /** The server that holds it when it is first provisioned. A database moves; the record says where it is now. */
  readonly server: string;
  readonly port: number;
  /** Bytes. */
  readonly maxmemory: number;
}

export type PromotionPolicy = 'automatic' | 'ask' | 'off';

export interface Fleet {
  readonly name: string;
  readonly servers: readonly Server[];
  readonly databases: readonly Database[];
  readonly detection: { readonly downAfter: number; readonly policy: PromotionPolicy };
  readonly leases: { readonly ttl: number };
  readonly backups: {
    readonly every: number;
    readonly store: string;
    readonly keep: { readonly hourly: number; readonly daily: number; readonly weekly: number };
  };
}

/** A server with the databases that the fleet file gives it. */
export interface ServerWithDatabases extends Server {
  readonly databases: readonly Database[];
}
