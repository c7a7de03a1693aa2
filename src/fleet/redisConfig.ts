/** What every Redis process is started with: pure text, the same for every role, because promotion is explicit. */

import type { ProcessSpec } from '../activities/contracts.js';
import { BLACK_HOLE, GATE_A_SHUT, REPLICATION_USER, REPLICATION_USER_RULES } from './gates.js';

export { REPLICATION_USER } from './gates.js';
export const ADMINISTRATOR_USER = 'redis-fleet';
/** Applications log in with a password alone: as `default`. */
export const APPLICATION_USER = 'default';

/** No application can fork, configure or re-point a process; INFO and ROLE tell clients whom they talk to. */
const APPLICATION_USER_RULES = ['~*', '&*', '+@all', '-@admin', '-@dangerous', '+info', '+role'] as const;

export const DATA_FILE_NAME = 'dump.rdb';

export interface ConfigurationInput {
  readonly process: ProcessSpec;
  /** The host's address. */
  readonly address: string;
  readonly files: {
    readonly directory: string;
    readonly users: string;
    readonly log: string;
    readonly pid: string;
  };
  readonly replicationPassword: string;
}

/** The text of redis.conf. It holds the followers' password: whoever stores it keeps it private. */
export function redisConfiguration(input: ConfigurationInput): string {
  const { process, address, files } = input;
  const sections: readonly (readonly [why: string, settings: Readonly<Record<string, string | number>>])[] = [
    [
      'Where it listens, and as whom it appears to its leader. A host may have several addresses.',
      {
        bind: address,
        port: process.port,
        'protected-mode': 'yes',
        'bind-source-addr': address,
        'replica-announce-ip': address,
        'replica-announce-port': process.port,
        'tcp-keepalive': 60,
        timeout: 0,
      },
    ],
    [
      'Its own directory. Nothing restarts it: a leader reborn empty would wipe its follower.',
      {
        daemonize: 'no',
        supervised: 'no',
        dir: quoted(files.directory),
        dbfilename: DATA_FILE_NAME,
        logfile: quoted(files.log),
        pidfile: quoted(files.pid),
        loglevel: 'notice',
        'proc-title-template': quoted('{title} {listen-addr} {config-file}'),
      },
    ],
    [
      'It never forks on its own: no save points, no AOF. A failed BGSAVE never stops writes.',
      {
        save: '""',
        appendonly: 'no',
        'auto-aof-rewrite-percentage': 0,
        'stop-writes-on-bgsave-error': 'no',
        'shutdown-on-sigterm': 'nosave',
      },
    ],
    [
      'Gate A: who asks for a full synchronisation waits. A runbook opens it for one follower, and shuts it.',
      { ...GATE_A_SHUT, 'repl-diskless-load': 'disabled', 'rdb-del-sync-files': 'no' },
    ],
    [
      'It follows nobody until it is told to, and keeps its data and its place in the replication history.',
      {
        replicaof: `${BLACK_HOLE.address} ${BLACK_HOLE.port}`,
        'replica-read-only': 'yes',
        'replica-serve-stale-data': 'yes',
        'replica-ignore-maxmemory': 'yes',
        masteruser: REPLICATION_USER,
        masterauth: quoted(input.replicationPassword),
        'repl-backlog-size': process.backlogBytes,
        'repl-backlog-ttl': 0,
        'repl-disable-tcp-nodelay': 'no',
      },
    ],
    ['Gate B: the users, and that a follower may not SYNC.', { aclfile: quoted(files.users) }],
    [
      'Memory. When the kernel must kill, it takes a fork first, a follower next, a leader last.',
      {
        maxmemory: process.maxmemory,
        'maxmemory-policy': 'noeviction',
        'oom-score-adj': 'yes',
        'oom-score-adj-values': '0 200 800',
        'disable-thp': 'yes',
      },
    ],
    [
      'Latency, and a quick death: testing all memory after a crash would delay a promotion.',
      {
        'latency-monitor-threshold': 100,
        'lazyfree-lazy-eviction': 'yes',
        'lazyfree-lazy-expire': 'yes',
        'lazyfree-lazy-server-del': 'yes',
        'crash-log-enabled': 'yes',
        'crash-memcheck-enabled': 'no',
      },
    ],
    [
      'Nobody debugs, loads modules or changes protected settings over a connection.',
      { 'enable-debug-command': 'no', 'enable-module-command': 'no', 'enable-protected-configs': 'no' },
    ],
  ];
  const text = sections.map(([why, settings]) =>
    [`# ${why}`, ...Object.entries(settings).map(([name, value]) => `${name} ${value}`), ''].join('\n'),
  );
  return `# Written by redis-fleet whenever it starts ${process.database}: changes made here are lost.\n\n${text.join('\n')}`;
}

/** SHA-256 of each password, as 64 hexadecimal digits. */
export interface PasswordHashes {
  readonly administrator: string;
  readonly replication: string;
  readonly application: string;
}

/** The text of the ACL file. It holds hashes only. */
export function usersFile(hashes: PasswordHashes): string {
  const user = (name: string, hash: string, rules: readonly string[]): string => {
    if (!/^[0-9a-f]{64}$/.test(hash)) throw new RangeError(`the password of ${name} is not hashed`);
    return `user ${name} on #${hash} ${rules.join(' ')}\n`;
  };
  return (
    user(ADMINISTRATOR_USER, hashes.administrator, ['~*', '&*', '+@all']) +
    user(REPLICATION_USER, hashes.replication, REPLICATION_USER_RULES) +
    user(APPLICATION_USER, hashes.application, APPLICATION_USER_RULES)
  );
}

/** As Redis's configuration reader undoes it: every byte that could end the string or the line is escaped. */
function quoted(text: string): string {
  const escaped = [...Buffer.from(text, 'utf8')].map((byte) => {
    if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
    return byte >= 0x20 && byte < 0x7f
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`;
  });
  return `"${escaped.join('')}"`;
}
