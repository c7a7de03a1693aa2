/**
 * What people use today, beside which this project is measured: databases of a leader and a follower, watched by three
 * Redis Sentinels. The processes have the configuration of ours, but for what Sentinel cannot work with.
 */

import { spawn } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Redis } from 'ioredis';
import { findBinary } from '../dev/binaries.js';
import { awaitEnd } from '../dev/child.js';
import { identify, signalProcess } from '../dev/processIdentity.js';
import type { ProcessIdentity } from '../dev/processIdentity.js';
import { Reaper } from '../dev/reaper.js';
import { FleetError } from '../fleet/errors.js';
import { ADMINISTRATOR_USER, DATA_FILE_NAME, redisConfiguration, usersFile } from '../fleet/redisConfig.js';
import { openClient, type Address, type Login } from './clients.js';
import { waitFor } from './waiting.js';
import type { Zones } from './zones.js';

export interface SentinelOptions {
  readonly databases: readonly string[];
  readonly downAfterMs: number;
  /** After a failover that did not succeed, half of this passes before the next one. Default 10,000. */
  readonly failoverTimeoutMs?: number;
  /** Bytes, of each database. */
  readonly maxmemory: number;
  /** Default true. Without: only the processes, for whoever changes leaders himself. */
  readonly watched?: boolean;
  /** The leaders and one sentinel are in `az-a`, the followers and one in `az-b`; the third is outside. */
  readonly zones?: Zones;
}

export interface SentinelGroup {
  readonly sentinels: readonly Address[];
  /** Of applications. */
  readonly login: Login;
  readonly administrator: Login;
  /** As they were at the start. */
  firstLeader(database: string): Address;
  firstFollower(database: string): Address;
  /** As the sentinel that is outside of all zones says. @throws Unreachable */
  leader(database: string): Promise<Address>;
  /** SENTINEL FAILOVER. @throws whatever the sentinel answers */
  failover(database: string): Promise<void>;
  /** null: it does not run. */
  pidOf(where: Address): number | null;
  /** As somebody's process manager would: with the same configuration. */
  restartEmpty(where: Address): void;
  stop(): Promise<void>;
}

const FIRST_PORT = 6300;
const SENTINEL_PORT = 26379;
const QUORUM = 2;
const BACKLOG_BYTES = 64 * 1024 * 1024;
const ANSWER_WITHIN_MS = 3000;
const READY_WITHIN_MS = 60_000;

/** Of the addresses in each zone, for `makeZones`. */
export function sentinelAddresses(subnet: string): Readonly<Record<string, readonly string[]>> {
  return { 'az-a': [`${subnet}.11`, `${subnet}.13`], 'az-b': [`${subnet}.12`, `${subnet}.14`] };
}

/** Returns when all of them know each other and every follower follows. @throws Unreachable; nothing is left then */
export async function startSentinels(options: SentinelOptions): Promise<SentinelGroup> {
  const group = new Group(options);
  try {
    await group.start();
    return group;
  } catch (error) {
    await group.stop();
    throw error;
  }
}

interface Started {
  readonly folder: string;
  readonly zone: string | null;
  readonly configuration: string;
  readonly parameters: readonly string[];
  process: ProcessIdentity | null;
}

class Group implements SentinelGroup {
  readonly login: Login;
  readonly administrator: Login;
  readonly sentinels: readonly Address[];
  readonly #options: SentinelOptions;
  readonly #subnet: string;
  readonly #root = realpathSync(mkdtempSync(path.join(tmpdir(), 'redis-fleet-sentinel-')));
  readonly #reaper: Reaper;
  readonly #passwords = { administrator: password(), replication: password(), application: password() };
  readonly #processes = new Map<string, Started>();
  readonly #binary = findBinary('redis-server', process.env);

  constructor(options: SentinelOptions) {
    this.#options = options;
    this.#subnet =
      options.zones?.outside.replace(/\.\d+$/, '') ?? `127.${randomInt(16, 250)}.${randomInt(0, 256)}`;
    this.sentinels = ['1', '13', '14'].map((last) => ({
      address: `${this.#subnet}.${last}`,
      port: SENTINEL_PORT,
    }));
    this.login = { password: this.#passwords.application };
    this.administrator = { username: ADMINISTRATOR_USER, password: this.#passwords.administrator };
    this.#reaper = new Reaper({ pids: this.#root, hosts: this.#root, remove: this.#root });
  }

  firstLeader(database: string): Address {
    return { address: `${this.#subnet}.11`, port: this.#port(database) };
  }

  firstFollower(database: string): Address {
    return { address: `${this.#subnet}.12`, port: this.#port(database) };
  }

  async start(): Promise<void> {
    const { databases } = this.#options;
    for (const database of databases) {
      const leader = this.firstLeader(database);
      this.#startRedis(database, leader, 'az-a', 'replicaof no one');
      this.#startRedis(
        database,
        this.firstFollower(database),
        'az-b',
        `replicaof ${leader.address} ${leader.port}`,
      );
    }
    await Promise.all(databases.map((database) => this.#followerFollows(database)));
    if (this.#options.watched === false) return;
    for (const [index, where] of this.sentinels.entries()) {
      this.#startSentinel(where, [null, 'az-a', 'az-b'][index] ?? null);
    }
    await Promise.all(this.sentinels.map((sentinel) => this.#knowsAll(sentinel)));
  }

  async leader(database: string): Promise<Address> {
    const answer = await this.#ask(this.#outside(), (sentinel) =>
      sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', database),
    );
    if (!Array.isArray(answer)) throw new FleetError('NotFound', `No sentinel knows ${database}.`);
    return { address: String(answer[0]), port: Number(answer[1]) };
  }

  async failover(database: string): Promise<void> {
    await this.#ask(this.#outside(), (sentinel) => sentinel.call('SENTINEL', 'FAILOVER', database));
  }

  pidOf(where: Address): number | null {
    const pid = this.#processes.get(nameOf(where))?.process?.pid;
    return pid === undefined ? null : (identify(pid)?.pid ?? null);
  }

  restartEmpty(where: Address): void {
    const started = this.#processes.get(nameOf(where));
    if (started === undefined) throw new FleetError('NotFound', `Nothing was started at ${nameOf(where)}.`);
    rmSync(path.join(started.folder, DATA_FILE_NAME), { force: true });
    this.#spawn(started);
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#processes.values()].map(async ({ process }) => {
        if (process === null) return;
        signalProcess(process, 'SIGKILL');
        await awaitEnd(process, 5000);
      }),
    );
    this.#reaper.dismiss();
    rmSync(this.#root, { recursive: true, force: true });
  }

  #outside(): Address {
    const [outside] = this.sentinels;
    if (outside === undefined) throw new FleetError('NotFound', 'There is no sentinel.');
    return outside;
  }

  #port(database: string): number {
    return FIRST_PORT + this.#options.databases.indexOf(database);
  }

  #startRedis(database: string, where: Address, zone: string, role: string): void {
    const folder = this.#folder(where);
    const users = path.join(folder, 'users.acl');
    writeFileSync(users, usersFile(hashed(this.#passwords)));
    const ours = redisConfiguration({
      process: {
        database,
        port: where.port,
        maxmemory: this.#options.maxmemory,
        backlogBytes: BACKLOG_BYTES,
      },
      address: where.address,
      files: {
        directory: folder,
        users,
        log: path.join(folder, 'redis.log'),
        pid: path.join(folder, 'redis.pid'),
      },
      replicationPassword: this.#passwords.replication,
    });
    const theirs = [
      '# Sentinel relies on full synchronisations that nobody asked for, and on who follows whom from the start.',
      'repl-diskless-sync-delay 0',
      role,
    ];
    this.#launch(where, zone, folder, `${ours}\n${theirs.join('\n')}\n`, []);
  }

  #startSentinel(where: Address, zone: string | null): void {
    const { databases, downAfterMs, failoverTimeoutMs = 10_000 } = this.#options;
    const watched = databases.flatMap((database) => {
      const leader = this.firstLeader(database);
      return [
        `sentinel monitor ${database} ${leader.address} ${leader.port} ${QUORUM}`,
        `sentinel auth-user ${database} ${ADMINISTRATOR_USER}`,
        `sentinel auth-pass ${database} ${this.#passwords.administrator}`,
        `sentinel down-after-milliseconds ${database} ${downAfterMs}`,
        `sentinel failover-timeout ${database} ${failoverTimeoutMs}`,
        `sentinel parallel-syncs ${database} 1`,
      ];
    });
    const folder = this.#folder(where);
    const text = [
      `port ${where.port}`,
      `bind ${where.address}`,
      `bind-source-addr ${where.address}`,
      'protected-mode no',
      `dir ${folder}`,
      `logfile ${path.join(folder, 'sentinel.log')}`,
      `sentinel announce-ip ${where.address}`,
      ...watched,
      '',
    ].join('\n');
    this.#launch(where, zone, folder, text, ['--sentinel']);
  }

  #folder(where: Address): string {
    const folder = path.join(this.#root, nameOf(where).replace(':', '-'));
    mkdirSync(folder);
    return folder;
  }

  #launch(
    where: Address,
    zone: string | null,
    folder: string,
    text: string,
    parameters: readonly string[],
  ): void {
    const configuration = path.join(folder, 'redis.conf');
    writeFileSync(configuration, text, { mode: 0o600 });
    const started: Started = { folder, zone, configuration, parameters, process: null };
    this.#processes.set(nameOf(where), started);
    this.#spawn(started);
  }

  #spawn(started: Started): void {
    const { folder, zone, configuration, parameters } = started;
    const { zones } = this.#options;
    const command = [this.#binary, configuration, ...parameters] as const;
    const [binary, ...rest] =
      zones && zone !== null ? ([...zones.enter(zone), ...command] as const) : command;
    const child = spawn(binary, rest, { cwd: folder, detached: true, stdio: 'ignore' });
    child.on('error', () => undefined);
    child.unref();
    started.process = child.pid === undefined ? null : identify(child.pid);
  }

  async #followerFollows(database: string): Promise<void> {
    await waitFor(
      () =>
        this.#ask(
          this.firstFollower(database),
          async (redis) => /^master_link_status:up/m.test(await redis.info('replication')),
          this.administrator,
        ),
      { deadlineMs: READY_WITHIN_MS, what: `the follower of ${database} beside Sentinel` },
    );
  }

  async #knowsAll(sentinel: Address): Promise<void> {
    await waitFor(
      () =>
        this.#ask(sentinel, async (client) => {
          const info = await client.info('sentinel');
          const well = info.match(/^master\d+:.*status=ok,.*slaves=1,sentinels=3/gm) ?? [];
          return well.length === this.#options.databases.length;
        }),
      { deadlineMs: READY_WITHIN_MS, what: `the sentinel at ${nameOf(sentinel)} to know the others` },
    );
  }

  async #ask<T>(where: Address, use: (client: Redis) => Promise<T>, login: Login = {}): Promise<T> {
    const client = openClient(where, login, ANSWER_WITHIN_MS);
    try {
      await client.connect();
      return await use(client);
    } finally {
      client.disconnect();
    }
  }
}

function nameOf({ address, port }: Address): string {
  return `${address}:${port}`;
}

function password(): string {
  return randomBytes(24).toString('base64url');
}

function hashed(passwords: {
  readonly administrator: string;
  readonly replication: string;
  readonly application: string;
}) {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  return {
    administrator: hash(passwords.administrator),
    replication: hash(passwords.replication),
    application: hash(passwords.application),
  };
}
