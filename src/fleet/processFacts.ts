/** What INFO says, as facts. */

import { FleetError } from './errors.js';
import type { ProcessFacts, ReplicaLink, ReplicationPosition } from './facts.js';

const NO_REPLICATION_ID = /^0*$/;

/**
 * Reads the text of INFO (the default sections).
 * @throws NotFound when a field that Redis 7 has is not there
 */
export function parseProcessFacts(info: string): ProcessFacts {
  const fields = fieldsOf(info);
  const { text, number } = reader(fields);
  return {
    ...replicationFacts(fields),
    runId: text('run_id'),
    redisVersion: text('redis_version'),
    loading: text('loading') !== '0',
    previous: previousPosition(text('master_replid2'), number('second_repl_offset')),
    backlog: {
      active: text('repl_backlog_active') !== '0',
      size: number('repl_backlog_size'),
      firstByte: number('repl_backlog_first_byte_offset'),
      length: number('repl_backlog_histlen'),
    },
    usedMemory: number('used_memory'),
    residentMemory: number('used_memory_rss'),
    maxmemory: number('maxmemory'),
    clientMemory: number('mem_clients_normal'),
    replicationMemory: number('mem_total_replication_buffers'),
    keys: keyCount(fields),
    totalForks: number('total_forks'),
    saving: text('rdb_bgsave_in_progress') !== '0' || text('aof_rewrite_in_progress') !== '0',
    lastCowBytes: number('rdb_last_cow_size'),
    ...lastSave(fields),
    uptimeSeconds: number('uptime_in_seconds'),
  };
}

/** A child that gives data to followers counts as well; its success is seen in them. */
function lastSave(fields: Fields): Pick<ProcessFacts, 'lastSave'> {
  const { text, numberOr } = reader(fields);
  const seconds = numberOr('rdb_last_bgsave_time_sec', -1);
  return seconds < 0 ? {} : { lastSave: { ok: text('rdb_last_bgsave_status') === 'ok', seconds } };
}

/** What the section `persistence` says of saves. */
export interface SaveFacts {
  readonly saving: boolean;
  /** Of the last one that ended. */
  readonly lastOk: boolean;
  /** Of the one that runs. */
  readonly seconds: number;
  readonly keysDone: number;
  readonly keysTotal: number;
}

/** Reads the text of `INFO persistence`. @throws NotFound as above */
export function parseSave(info: string): SaveFacts {
  const { text, numberOr } = reader(fieldsOf(info));
  return {
    saving: text('rdb_bgsave_in_progress') !== '0',
    lastOk: text('rdb_last_bgsave_status') === 'ok',
    seconds: Math.max(0, numberOr('rdb_current_bgsave_time_sec', 0)),
    keysDone: numberOr('current_save_keys_processed', 0),
    keysTotal: numberOr('current_save_keys_total', 0),
  };
}

/** What the section `replication` says. */
export type ReplicationFacts = Pick<ProcessFacts, 'role' | 'position' | 'replicas' | 'link'>;

/**
 * Reads the text of `INFO replication`: cheap enough to be asked several times a second.
 * @throws NotFound when a field that Redis 7 has is not there
 */
export function parseReplication(info: string): ReplicationFacts {
  return replicationFacts(fieldsOf(info));
}

/** Reads the text of INFO with the sections server and persistence. @throws NotFound as above */
export function parseLife(info: string): Pick<ProcessFacts, 'runId' | 'loading'> {
  const { text } = reader(fieldsOf(info));
  return { runId: text('run_id'), loading: text('loading') !== '0' };
}

function replicationFacts(fields: Fields): ReplicationFacts {
  const { text, number, numberOr } = reader(fields);
  const leads = text('role') === 'master';
  return {
    role: leads ? 'leader' : 'follower',
    position: { id: text('master_replid'), offset: number('master_repl_offset') },
    replicas: replicaLinks(fields),
    link: leads
      ? null
      : {
          address: text('master_host'),
          port: number('master_port'),
          up: text('master_link_status') === 'up',
          synchronising: text('master_sync_in_progress') !== '0',
          offset: numberOr('slave_repl_offset', 0),
        },
  };
}

type Fields = ReadonlyMap<string, string>;

function reader(fields: Fields) {
  const text = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) {
      const version = fields.get('redis_version') ?? 'unknown';
      throw new FleetError(
        'NotFound',
        `INFO has no field "${name}" (Redis version: ${version}). Redis 7.0 or newer is needed; nothing was changed.`,
      );
    }
    return value;
  };
  const number = (name: string): number => toNumber(name, text(name));
  const numberOr = (name: string, otherwise: number): number => {
    const value = fields.get(name);
    return value === undefined ? otherwise : toNumber(name, value);
  };
  return { text, number, numberOr };
}

function fieldsOf(info: string): Fields {
  const fields = new Map<string, string>();
  for (const line of info.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1).trimEnd());
  }
  return fields;
}

function toNumber(name: string, value: string): number {
  const number = Number(value);
  if (value === '' || !Number.isFinite(number)) {
    throw new FleetError('NotFound', `INFO's field "${name}" is "${value}", which is no number.`);
  }
  return number;
}

function previousPosition(id: string, offset: number): ReplicationPosition | null {
  return NO_REPLICATION_ID.test(id) || offset < 0 ? null : { id, offset };
}

/** `slave0:ip=127.0.1.2,port=6300,state=online,offset=14,lag=0,…` */
function replicaLinks(fields: ReadonlyMap<string, string>): readonly ReplicaLink[] {
  return [...fields].flatMap(([name, value]) => {
    if (!/^slave\d+$/.test(name)) return [];
    const parts = new Map(
      value.split(',').map((part) => {
        const [key = '', ...rest] = part.split('=');
        return [key, rest.join('=')] as const;
      }),
    );
    return [
      {
        address: parts.get('ip') ?? '',
        port: Number(parts.get('port') ?? 0),
        state: parts.get('state') ?? '',
        offset: Number(parts.get('offset') ?? 0),
        lag: Number(parts.get('lag') ?? 0),
      },
    ];
  });
}

/** `db0:keys=12,expires=0,avg_ttl=0`, for every database number. */
function keyCount(fields: ReadonlyMap<string, string>): number {
  let keys = 0;
  for (const [name, value] of fields) {
    if (/^db\d+$/.test(name)) keys += Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
  }
  return keys;
}
