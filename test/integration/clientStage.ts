/** Two real Redis processes, their record in a real Consul, and what changes of leader are made of. */

import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { findBinary } from '../../src/dev/binaries.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { ABSENT, recordStore, type RecordStore } from '../../src/records/databases.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';
import { startGuarded, type GuardedProcess } from '../../src/testbed/guardedProcess.js';
import { waitFor } from '../../src/testbed/waiting.js';

export const FLEET = 'test';
export const DATABASE = 'sessions-00';
export const PASSWORD = 'of-the-application';

/** One Redis process that can be killed, frozen, and started again empty. */
export class Process {
  readonly endpoint: Endpoint;
  admin: Redis;
  #running: GuardedProcess | null = null;
  #frozen = false;

  constructor(
    host: string,
    address: string,
    readonly folder: string,
  ) {
    this.endpoint = { host, address, port: 6300 };
    this.admin = this.#connect();
  }

  async start(...more: readonly string[]): Promise<void> {
    const { address, port } = this.endpoint;
    const settings = [
      ...['--bind', address, '--port', String(port), '--dir', this.folder, '--save', ''],
      ...['--requirepass', PASSWORD, '--masterauth', PASSWORD, '--repl-diskless-sync-delay', '0'],
      ...['--enable-debug-command', 'yes', ...more],
    ];
    this.#running = await startGuarded(findBinary('redis-server', process.env), settings);
    this.admin.disconnect();
    this.admin = this.#connect();
    await waitFor(() => this.admin.ping(), { deadlineMs: 30_000, everyMs: 10, what: `Redis at ${address}` });
  }

  async kill(): Promise<void> {
    this.thaw();
    await this.#running?.end();
    this.#running = null;
  }

  freeze(): void {
    this.#signal('SIGSTOP');
    this.#frozen = true;
  }

  thaw(): void {
    if (this.#frozen) this.#signal('SIGCONT');
    this.#frozen = false;
  }

  async stop(): Promise<void> {
    this.admin.disconnect();
    await this.kill();
  }

  async offset(): Promise<number> {
    return Number(/^master_repl_offset:(\d+)/m.exec(await this.admin.info('replication'))?.[1]);
  }

  /** Of applications. */
  async clients(): Promise<number> {
    const list = String(await this.admin.call('CLIENT', 'LIST', 'TYPE', 'normal'));
    const own = 1;
    return list.split('\n').filter((line) => line !== '').length - own;
  }

  /** How often it would not execute SET. */
  async refusals(): Promise<number> {
    return Number(
      /^cmdstat_set:.*rejected_calls=(\d+)/m.exec(await this.admin.info('commandstats'))?.[1] ?? 0,
    );
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#running) process.kill(this.#running.pid, signal);
  }

  #connect(): Redis {
    const { address, port } = this.endpoint;
    const redis = new Redis(port, address, {
      password: PASSWORD,
      retryStrategy: () => 20,
      disableClientInfo: true,
    });
    redis.on('error', () => undefined);
    return redis;
  }
}

interface Change {
  /** Default: the stage's own. */
  readonly database?: string;
  /** Its leader had failed. */
  readonly promoted?: boolean;
}

export interface Stage {
  readonly consul: TestConsul;
  readonly records: RecordStore;
  /** Leads at first. */
  readonly a: Process;
  /** Follows at first. */
  readonly b: Process;
  /** Both processes anew, empty, `a` leading; the record at a new epoch. */
  begin(): Promise<void>;
  record(): Promise<DatabaseRecord>;
  /** Compare-and-set of leader and follower with the next epoch. */
  changeRecord(leader: Process, follower: Process | null, how?: Change): Promise<void>;
  stop(): Promise<void>;
}

export async function startStage(): Promise<Stage> {
  const consul = await startTestConsul({ durable: true });
  const folder = await mkdtemp(path.join(tmpdir(), 'redis-fleet-client-'));
  const network = `127.${randomInt(16, 250)}.${randomInt(0, 256)}`;
  const a = new Process('redis-01-a', `${network}.1`, folder);
  const b = new Process('redis-01-b', `${network}.2`, folder);
  const records = recordStore(consul.consul, FLEET);

  async function changeRecord(
    leader: Process,
    follower: Process | null,
    { database = DATABASE, promoted = false }: Change = {},
  ): Promise<void> {
    const stored = await records.read(database);
    const record: DatabaseRecord = {
      database,
      server: 'redis-01',
      epoch: (stored?.record.epoch ?? 0) + 1,
      leader: leader.endpoint,
      follower: follower?.endpoint ?? null,
      updatedAt: new Date().toISOString(),
      updatedBy: 'test',
      ...(promoted && stored
        ? { promotion: { at: new Date().toISOString(), by: 'test', from: stored.record.leader } }
        : {}),
    };
    const written = await records.compareAndSet(record, stored?.modifyIndex ?? ABSENT);
    if (!written) throw new Error('somebody else changed the record');
  }

  return {
    consul,
    records,
    a,
    b,
    changeRecord,
    async begin() {
      await Promise.all([a.kill(), b.kill()]);
      await a.start();
      await b.start('--replicaof', `${a.endpoint.address} ${a.endpoint.port}`);
      await followed(a, b);
      await changeRecord(a, b);
    },
    async record() {
      const stored = await records.read(DATABASE);
      if (!stored) throw new Error('no record');
      return stored.record;
    },
    async stop() {
      await Promise.all([a.stop(), b.stop(), consul.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Until `follower` has all of it: a link that is up may be held back for a second. */
export async function followed(leader: Process, follower: Process): Promise<void> {
  await leader.admin.publish('anything', 'moves the stream');
  const written = await leader.offset();
  await waitFor(async () => (await follower.offset()) >= written, {
    deadlineMs: 30_000,
    everyMs: 20,
    what: 'the follower to have all of the stream',
  });
}

/** What a planned switchover does, over open connections: nothing acknowledged is lost. */
export async function switchOver(stage: Stage, from: Process, to: Process): Promise<void> {
  await from.admin.client('PAUSE', 1_500, 'WRITE');
  const written = await from.offset();
  while ((await to.offset()) < written);
  await from.admin.replicaof(to.endpoint.address, to.endpoint.port);
  await to.admin.replicaof('NO', 'ONE');
  await stage.changeRecord(to, from);
  await from.admin.client('UNPAUSE');
}

/** What a promotion does: whatever becomes of the old leader. */
export async function promote(stage: Stage, to: Process): Promise<void> {
  await to.admin.replicaof('NO', 'ONE');
  await stage.changeRecord(to, null, { promoted: true });
}
