/** What applications call. */

import type { Redis, RedisOptions } from 'ioredis';
import { consulFromEnvironment, type FleetConsul } from '../connections/consul.js';
import { FleetRedis } from './fleetRedis.js';
import { lastKnownFile } from './lastKnown.js';
import { RecordFeed } from './recordFeed.js';
import { RecordWatch, type ClientLog } from './recordWatch.js';
import type { Role } from './target.js';

export interface ConnectOptions {
  /** The fleet's name. */
  readonly fleet: string;
  /** Default: as CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN and their kin say. */
  readonly consul?: FleetConsul;
  /** pino or the console. Default: silent. */
  readonly log?: ClientLog;
  /** Where the last records seen are kept, for a start while Consul is away. Default: nowhere. */
  readonly lastKnownFile?: string;
}

/** What the record and this library decide is not for the application to set. */
type Decided =
  | 'Connector'
  | 'host'
  | 'port'
  | 'path'
  | 'family'
  | 'sentinels'
  | 'role'
  | 'retryStrategy'
  | 'maxRetriesPerRequest'
  | 'enableOfflineQueue'
  | 'enableReadyCheck'
  | 'autoResendUnfulfilledCommands'
  | 'readOnly'
  | 'replyMapping'
  | 'monitor';

export interface DatabaseOptions extends Omit<RedisOptions, Decided> {
  /** `follower`: reads that may be a moment old, and the leader's while there is no follower. Default `leader`. */
  readonly role?: Role;
  /**
   * Commands without an answer when the leader changes or the connection breaks: `fail` rejects them with
   * OutcomeUnknown, `retry` sends them again, so that they may be executed twice. Default `fail`.
   */
  readonly onInterrupted?: 'fail' | 'retry';
  /** How long a command waits for a leader before it fails with NoLeader. Milliseconds, default 10,000. */
  readonly maxWaitMs?: number;
  /**
   * How long the last answers of a leader are waited for that another was promoted for: it may hang. Milliseconds,
   * default 50. Where the change is planned, the old leader lives: then 1 s at least.
   */
  readonly graceMs?: number;
}

export interface FleetConnection {
  /** An ordinary ioredis client, connected to the database's leader (or follower), wherever that is. */
  redis(database: string, options?: DatabaseOptions): Redis;
  /** Disconnects all clients at once, and follows no record any more. */
  close(): void;
}

const SILENT: ClientLog = { info: () => undefined, warn: () => undefined };

/** @throws FleetError InvalidRequest for a variable of Consul's that makes no sense */
export function connectFleet(options: ConnectOptions): FleetConnection {
  const { fleet, log = SILENT } = options;
  const consul = options.consul ?? consulFromEnvironment();
  const lastKnown = options.lastKnownFile === undefined ? null : lastKnownFile(options.lastKnownFile, fleet);
  const feed = new RecordFeed(consul, fleet);
  const watches = new Map<string, RecordWatch>();
  const clients = new Set<FleetRedis>();

  function watchOf(database: string): RecordWatch {
    const watch = watches.get(database) ?? new RecordWatch({ feed, fleet, database, log, lastKnown });
    watches.set(database, watch);
    return watch;
  }

  return {
    redis(database, { role, onInterrupted, maxWaitMs, graceMs, ...rest } = {}) {
      const settings = {
        database,
        role: role ?? 'leader',
        onInterrupted: onInterrupted ?? 'fail',
        maxWaitMs: maxWaitMs ?? 10_000,
        graceMs: graceMs ?? 50,
        watch: watchOf(database),
        log,
        onOpen: (client: FleetRedis): void => {
          clients.add(client);
          client.on('end', () => clients.delete(client));
          client.on('connecting', () => clients.add(client));
        },
      };
      return new FleetRedis(settings, rest);
    },
    close() {
      for (const client of clients) client.release();
      feed.close();
      for (const watch of watches.values()) watch.close();
      clients.clear();
      watches.clear();
      if (options.consul === undefined) consul.close();
    },
  };
}
