/** A fleet for once: its own addresses, a folder of its own, and nothing left of it afterwards. */

import { randomInt } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { withRedis } from '../connections/redis.js';
import type { DevNetwork } from '../dev/network.js';
import { startDev } from '../dev/startDev.js';
import type { DevFleet } from '../dev/startDev.js';
import { FleetError } from '../fleet/errors.js';
import type { HostProcess, ProcessFacts } from '../fleet/facts.js';
import type { PromotionPolicy } from '../fleet/fleet.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import { APPLICATION_USER } from '../fleet/redisConfig.js';
import { processFiles } from '../host/layout.js';
import { findRedis } from '../host/procfs.js';
import { recordStore } from '../records/databases.js';
import type { Login } from './clients.js';

export interface TestFleetOptions {
  readonly servers: number;
  readonly databasesPerServer: number;
  /** In the words of the fleet file. Default `64MiB`. */
  readonly maxmemory?: string;
  /** Of each host, in the words of the fleet file. Default `8GiB`. */
  readonly memory?: string;
  /** Of single hosts, by name, instead. */
  readonly memoryOf?: Readonly<Record<string, string>>;
  /** Default `test`. */
  readonly name?: string;
  /** Default `sessions`: databases are sessions-00, sessions-01, … */
  readonly databases?: string;
  /** Provision it. Default true. */
  readonly apply?: boolean;
  /** What is done when a leader fails. Default `off`: a test that kills leaders means to look at them. */
  readonly policy?: PromotionPolicy;
  /** In the words of the fleet file. Default `1s`. */
  readonly downAfter?: string;
  /** In the words of the fleet file. Default `10m`. */
  readonly notAgainWithin?: string;
  /** In the words of the fleet file. Default `5s`. */
  readonly leaseTtl?: string;
  /**
   * The mapping `backups` of the fleet file. Default: none are taken on schedule, since tests count forks, and look at
   * files.
   */
  readonly backups?: string;
  /** The mapping `relocation` of the fleet file. Default: nobody moves databases by itself. */
  readonly relocation?: string;
  /** Instead of loopback addresses. Its hosts' addresses are `hostAddress`. */
  readonly network?: DevNetwork;
  readonly tell?: (line: string) => void;
  /** Lines that `apply` says. Default: `tell`. */
  readonly tellOutput?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export interface TestFleet {
  readonly dev: DevFleet;
  /** The names of all databases, in the order of the file. */
  readonly databases: readonly string[];
  readonly application: Login;
  /** The record as it is now. @throws NotFound */
  record(database: string): Promise<DatabaseRecord>;
  leader(database: string): Promise<Endpoint>;
  /** @throws NotFound when the record names none */
  follower(database: string): Promise<Endpoint>;
  facts(endpoint: Endpoint): Promise<ProcessFacts>;
  /** The pid of a database's process on a host; null when it does not run. */
  pidOf(database: string, host: string): HostProcess['pid'];
  /** BGSAVE there, as a backup would, and the path of the finished file. */
  save(database: string, follower: Endpoint): Promise<string>;
  stop(): Promise<void>;
}

/** @throws as `startDev`; nothing is left running then */
export async function startTestFleet(options: TestFleetOptions): Promise<TestFleet> {
  const data = mkdtempSync(path.join(tmpdir(), 'redis-fleet-'));
  // Beside the port ranges of everybody, and most likely nobody else's: 60,000 networks to choose from.
  const subnet =
    options.network?.outside.replace(/\.\d+$/, '') ?? `127.${randomInt(16, 250)}.${randomInt(0, 256)}`;
  const { text, databases } = fleetFile(options, subnet);
  const file = path.join(data, 'fleet.yaml');
  writeFileSync(file, text);
  const dev = await startDev({
    file,
    data,
    address: `${subnet}.1`,
    ...(options.network ? { network: options.network } : {}),
    apply: options.apply ?? true,
    ephemeral: true,
    ...(options.tell ? { tell: options.tell } : {}),
    ...(options.tellOutput ? { tellOutput: options.tellOutput } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const records = recordStore(dev.consul, dev.fleet.name);

  async function record(database: string): Promise<DatabaseRecord> {
    const stored = await records.read(database);
    if (stored) return stored.record;
    throw new FleetError('NotFound', `${database} has no record.`);
  }

  return {
    dev,
    databases,
    application: { username: APPLICATION_USER, password: dev.credentials.application },
    record,
    leader: async (database) => (await record(database)).leader,
    async follower(database) {
      const { follower } = await record(database);
      if (follower) return follower;
      throw new FleetError('NotFound', `The record of ${database} names no follower.`);
    },
    facts: (endpoint) =>
      withRedis(endpoint, dev.credentials, { timeoutMs: 3000 }, async (redis) =>
        parseProcessFacts(await redis.info()),
      ),
    pidOf: (database, host) => findRedis(processFiles(dev.data.host(host), database)),
    save: (database, follower) => saveInBackground(dev, database, follower),
    stop: () => dev.stop(),
  };
}

async function saveInBackground(dev: DevFleet, database: string, endpoint: Endpoint): Promise<string> {
  await withRedis(endpoint, dev.credentials, { timeoutMs: 10_000 }, async (redis) => {
    const before = await redis.lastsave();
    await redis.bgsave();
    for (;;) {
      const persistence = await redis.info('persistence');
      if (/^rdb_bgsave_in_progress:0/m.test(persistence)) {
        if (/^rdb_last_bgsave_status:ok/m.test(persistence) && (await redis.lastsave()) >= before) return;
        throw new FleetError('FollowerUnfit', `${database} on ${endpoint.host} could not save its data.`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  return processFiles(dev.data.host(endpoint.host), database).data;
}

const FIRST_PORT = 6300;
/** Of a server, with a zone each: `az-a` and `az-b`. */
export const SIDES = ['a', 'b'] as const;

/** Of the host of one side of the server with this number, counted from 1. */
export function hostAddress(subnet: string, server: number, side: (typeof SIDES)[number]): string {
  return `${subnet}.${10 * server + SIDES.indexOf(side) + 1}`;
}

function fleetFile(
  options: TestFleetOptions,
  subnet: string,
): { text: string; databases: readonly string[] } {
  const memory = options.memory ?? '8GiB';
  const maxmemory = options.maxmemory ?? '64MiB';
  const servers: string[] = [];
  const databases: { name: string; line: string }[] = [];
  for (let n = 1; n <= options.servers; n++) {
    const server = `redis-${String(n).padStart(2, '0')}`;
    servers.push(`  - name: ${server}`, '    hosts:');
    for (const side of SIDES) {
      const address = hostAddress(subnet, n, side);
      const host = `${server}-${side}`;
      const has = options.memoryOf?.[host] ?? memory;
      servers.push(`      - { name: ${host}, zone: az-${side}, address: ${address}, memory: ${has} }`);
    }
    for (let d = 0; d < options.databasesPerServer; d++) {
      const number = databases.length;
      const name = `${options.databases ?? 'sessions'}-${String(number).padStart(2, '0')}`;
      const line = `  - { name: ${name}, server: ${server}, port: ${FIRST_PORT + number}, maxmemory: ${maxmemory} }`;
      databases.push({ name, line });
    }
  }
  const text = [
    `fleet: ${options.name ?? 'test'}`,
    'servers:',
    ...servers,
    'databases:',
    ...databases.map(({ line }) => line),
    `detection: { downAfter: ${options.downAfter ?? '1s'}, policy: ${options.policy ?? 'off'}, notAgainWithin: ${options.notAgainWithin ?? '10m'} }`,
    `leases: { ttl: ${options.leaseTtl ?? '5s'} }`,
    `backups: ${options.backups ?? '{ paused: true }'}`,
    `relocation: ${options.relocation ?? '{ policy: off }'}`,
    '',
  ].join('\n');
  return { text, databases: databases.map(({ name }) => name) };
}
