/** Two hosts with their agents' duties in this process, one database, and a real Consul. */

import { randomUUID } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hostDuties } from '../../src/host/duties.js';
import type { LeaseSettings } from '../../src/fleet/lease.js';
import type { HostLease } from '../../src/fleet/lease.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { processFiles } from '../../src/host/layout.js';
import { findRedis } from '../../src/host/procfs.js';
import { ABSENT, recordStore } from '../../src/records/databases.js';
import { leaseStore } from '../../src/records/leases.js';
import { consulFromEnvironment } from '../../src/connections/consul.js';
import { createLog, type Log } from '../../src/connections/log.js';
import type { ProcessSpec } from '../../src/activities/contracts.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import { CREDENTIALS, stageHost, type HostStage } from './hostStage.js';

export const FLEET = 'lease-test';
export const DATABASE = 'sessions-00';
export const LEADER_HOST = 'redis-09-a';
export const FOLLOWER_HOST = 'redis-09-b';

export interface Duty {
  /** Sentences of its log. */
  readonly said: readonly string[];
  /** Consul is out of its reach, and of nobody else's. */
  cutOff(): void;
  reconnect(): void;
  /** In good order. */
  stop(): Promise<void>;
}

export interface LeaseStage {
  readonly consul: TestConsul;
  readonly leader: HostStage;
  readonly follower: HostStage;
  readonly leaderSpec: ProcessSpec;
  readonly followerSpec: ProcessSpec;
  readonly settings: LeaseSettings;
  /** An agent without Temporal. */
  start(host: HostStage): Duty;
  lease(host: string): Promise<HostLease>;
  record(): Promise<DatabaseRecord>;
  /** By compare-and-set. */
  changeRecord(changes: Partial<DatabaseRecord>): Promise<void>;
  /** Its owner lets go of the record. */
  release(): Promise<void>;
  pid(host: HostStage): number;
  /** As an application, at the leader that the stage began with. */
  writer(): Writer;
  /** Every frozen process goes on, and nothing is left. */
  end(): Promise<void>;
}

export async function stageLeases(settings: LeaseSettings): Promise<LeaseStage> {
  const consul = await startTestConsul();
  const leader = await stageHost({ host: LEADER_HOST, address: '127.0.9.1' });
  const follower = await stageHost({ host: FOLLOWER_HOST, address: '127.0.9.2' });
  const leaderSpec = leader.spec(DATABASE);
  const followerSpec = follower.spec(DATABASE);
  const records = recordStore(consul.consul, FLEET);
  const leases = leaseStore(consul.consul, FLEET);
  const duties: Duty[] = [];
  const writers: Writer[] = [];

  function start(host: HostStage): Duty {
    const said: string[] = [];
    const way = wayTo(consul.env.CONSUL_HTTP_ADDR);
    const client = consulFromEnvironment({ CONSUL_HTTP_ADDR: `unix://${way.path}` });
    const stopping = new AbortController();
    const running = hostDuties({
      fleet: FLEET,
      settings: host.settings,
      processes: host.processes,
      consul: client,
      log: logInto(said),
      leases: settings,
    })
      .run(stopping.signal)
      .finally(() => client.close());
    const duty: Duty = {
      said,
      cutOff: () => way.cut(true),
      reconnect: () => way.cut(false),
      async stop() {
        stopping.abort();
        await running;
        way.close();
      },
    };
    duties.push(duty);
    return duty;
  }

  const pid = (host: HostStage): number => {
    const found = findRedis(processFiles(host.settings.data, DATABASE));
    if (found === null) throw new Error(`${DATABASE} does not run on ${host.settings.host}`);
    return found;
  };

  const stage: LeaseStage = {
    consul,
    leader,
    follower,
    leaderSpec,
    followerSpec,
    settings,
    start,
    pid,
    async lease(host) {
      const stored = await leases.read(host);
      if (stored === null) throw new Error(`no lease of ${host}`);
      return stored.lease;
    },
    async record() {
      const stored = await records.read(DATABASE);
      if (stored === null) throw new Error('no record');
      return stored.record;
    },
    async changeRecord(changes) {
      const stored = await records.read(DATABASE);
      const base: DatabaseRecord = {
        database: DATABASE,
        server: 'redis-09',
        epoch: 1,
        leader: leader.endpoint(leaderSpec),
        follower: follower.endpoint(followerSpec),
        updatedAt: new Date().toISOString(),
        updatedBy: 'test',
      };
      const next = { ...(stored?.record ?? base), ...changes };
      if (!(await records.compareAndSet(next, stored?.modifyIndex ?? ABSENT))) throw new Error('it changed');
    },
    async release() {
      const stored = await records.read(DATABASE);
      if (stored === null) throw new Error('no record');
      const released: Record<string, unknown> = { ...stored.record };
      delete released['operation'];
      if (!(await records.compareAndSet(released as unknown as DatabaseRecord, stored.modifyIndex)))
        throw new Error('it changed');
    },
    writer() {
      const writer = Writer.start({
        locate: () => leader.endpoint(leaderSpec),
        password: CREDENTIALS.application,
        rate: 100,
      });
      writers.push(writer);
      return writer;
    },
    async end() {
      const frozen = [leader, follower].map(({ settings: { data } }) =>
        findRedis(processFiles(data, DATABASE)),
      );
      for (const one of [...frozen, consul.pid()]) if (one !== null) process.kill(one, 'SIGCONT');
      await Promise.all(writers.map((writer) => writer.stop()));
      await Promise.all(duties.map((duty) => duty.stop()));
      await Promise.all([leader.end(), follower.end()]);
      await consul.stop();
    },
  };
  try {
    await bringUp(stage);
  } catch (error) {
    await stage.end();
    throw error;
  }
  return stage;
}

/** A leader and its follower, as a bring-up leaves them. */
async function bringUp(stage: LeaseStage): Promise<void> {
  const { leader, follower, leaderSpec, followerSpec } = stage;
  await leader.activities.startProcess({ process: leaderSpec, allowEmpty: true });
  await follower.activities.startProcess({ process: followerSpec, allowEmpty: true });
  await leader.lead(leaderSpec);
  const shut = (delay: string, most: string): Promise<void> =>
    leader.use(leaderSpec, async (redis) => {
      await redis.config('SET', 'repl-diskless-sync-delay', delay);
      await redis.config('SET', 'repl-diskless-sync-max-replicas', most);
    });
  await shut('0', '1');
  const { address, port } = leader.endpoint(leaderSpec);
  await follower.use(followerSpec, (redis) => redis.call('REPLICAOF', address, port));
  await waitFor(async () => (await follower.facts(followerSpec)).link?.up, {
    deadlineMs: 20_000,
    what: 'the follower to follow',
  });
  await shut('2147483647', '0');
  await stage.changeRecord({});
}

/** A socket that leads to Consul, and can be cut. */
function wayTo(target: string): { readonly path: string; cut(yes: boolean): void; close(): void } {
  const [host = '', port = ''] = target.split(':');
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((incoming) => {
    const outgoing = connect(Number(port), host);
    for (const [one, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.on('data', (data) => isCut || other.write(data));
    }
  });
  const at = path.join(tmpdir(), `redis-fleet-${randomUUID()}.sock`);
  server.listen(at);
  const drop = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    path: at,
    cut(yes) {
      isCut = yes;
      // What was under way when it was cut stays without an answer.
      if (!yes) drop();
    },
    close() {
      server.close();
      drop();
    },
  };
}

function logInto(said: string[]): Log {
  return createLog(
    'agent',
    {},
    {
      write(line) {
        const { msg } = JSON.parse(line) as { msg: string };
        said.push(msg);
      },
    },
  );
}
