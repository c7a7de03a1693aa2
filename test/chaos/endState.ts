/** What a procedure left behind, in terms that are the same for every database: hosts appear by their part in it. */

import { readdirSync, readlinkSync } from 'node:fs';
import { withRedis } from '../../src/connections/redis.js';
import { GATE_A_SHUT, REPLICATION_USER } from '../../src/fleet/gates.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { processFiles } from '../../src/host/layout.js';
import { commandName } from '../../src/host/procfs.js';
import { recordStore } from '../../src/records/databases.js';
import { permitStore } from '../../src/records/permits.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { Writer } from '../../src/testbed/writer.js';

/** The hosts that a database may be on, by their part: `leader`, `follower`, `third`. */
export type Parts = Readonly<Record<string, Endpoint>>;
/** Before the procedure. */
export interface Before {
  /** 0: there is no record. */
  readonly epoch: number;
  /** Of each part whose process ran. */
  readonly forks: Readonly<Record<string, { readonly runId: string; readonly totalForks: number }>>;
}

export const NOTHING_BEFORE: Before = { epoch: 0, forks: {} };

export interface PartState {
  /** Redis processes in its directory. */
  readonly processes: number;
  /** Names in its directory; null: there is none. */
  readonly files: readonly string[] | null;
  readonly running: {
    readonly role: string;
    readonly follows: string | null;
    readonly linkUp: boolean;
    readonly gates: Readonly<Record<string, string>>;
    readonly replicationUser: string;
    readonly backlogBytes: number;
    /** During the procedure; since its start for a process that was started by it. */
    readonly forks: number;
    readonly hasLeadersOffset: boolean;
    /** Acknowledged writes that it does not have. */
    readonly lost: number;
  } | null;
}

export interface EndState {
  readonly record: {
    /** By how much it grew. */
    readonly epochs: number;
    readonly leader: string;
    readonly follower: string | null;
    readonly extraFollowers: readonly string[];
    readonly isOwned: boolean;
  } | null;
  /** Hosts whose fork permit is held. */
  readonly permits: readonly string[];
  readonly parts: Readonly<Record<string, PartState>>;
}

const SETTLED_WITHIN_MS = 60_000;

export async function readBefore(fleet: TestFleet, database: string, parts: Parts): Promise<Before> {
  const stored = await recordStore(fleet.dev.consul, fleet.dev.fleet.name).read(database);
  const read = Object.entries(parts).map(async ([part, endpoint]) => {
    // One that hangs does not say.
    if (fleet.pidOf(database, endpoint.host) === null) return [];
    const facts = await fleet.facts(endpoint).catch(() => null);
    return facts === null ? [] : [[part, { runId: facts.runId, totalForks: facts.totalForks }] as const];
  });
  return { epoch: stored?.record.epoch ?? 0, forks: Object.fromEntries((await Promise.all(read)).flat()) };
}

/** Call it when nobody writes any more. */
export async function readEndState(
  fleet: TestFleet,
  database: string,
  parts: Parts,
  before: Before,
  writer: Writer,
): Promise<EndState> {
  const { consul, fleet: file } = fleet.dev;
  const partOf = (endpoint: Pick<Endpoint, 'address' | 'port'>): string =>
    Object.entries(parts).find(
      ([, { address, port }]) => address === endpoint.address && port === endpoint.port,
    )?.[0] ?? `${endpoint.address}:${endpoint.port}`;
  const stored = await recordStore(consul, file.name).read(database);
  const leader = stored?.record.leader ?? null;
  const states = Object.entries(parts).map(async ([part, endpoint]) => {
    const state = await readPart(fleet, database, endpoint, {
      leader,
      partOf,
      before: before.forks[part],
      writer,
    });
    return [part, state] as const;
  });
  return {
    record: stored && {
      epochs: stored.record.epoch - before.epoch,
      leader: partOf(stored.record.leader),
      follower: stored.record.follower && partOf(stored.record.follower),
      extraFollowers: (stored.record.extraFollowers ?? []).map(partOf),
      isOwned: stored.record.operation !== undefined,
    },
    permits: (await permitStore(consul, file.name).list()).map(({ permit }) => permit.host),
    parts: Object.fromEntries(await Promise.all(states)),
  };
}

async function readPart(
  fleet: TestFleet,
  database: string,
  endpoint: Endpoint,
  context: {
    /** Of the record. */
    readonly leader: Endpoint | null;
    readonly partOf: (endpoint: Pick<Endpoint, 'address' | 'port'>) => string;
    readonly before: Before['forks'][string] | undefined;
    readonly writer: Writer;
  },
): Promise<PartState> {
  const { directory } = processFiles(fleet.dev.data.host(endpoint.host), database);
  const processes = redisProcessesIn(directory);
  const files = namesIn(directory);
  if (processes === 0) return { processes, files, running: null };
  const hasLeadersOffset = await caughtUp(fleet, endpoint, context.leader);
  const now = await fleet.facts(endpoint);
  const { gates, replicationUser } = await readGates(fleet, endpoint);
  const { before, writer, partOf } = context;
  return {
    processes,
    files,
    running: {
      role: now.role,
      follows: now.link && partOf(now.link),
      linkUp: now.link?.up ?? false,
      gates,
      replicationUser,
      backlogBytes: now.backlog.size,
      forks: now.totalForks - (before?.runId === now.runId ? before.totalForks : 0),
      hasLeadersOffset,
      lost: (await writer.verify(endpoint)).lost,
    },
  };
}

/** The stream also carries a leader's pings: equal offsets are met, not kept. */
async function caughtUp(fleet: TestFleet, endpoint: Endpoint, leader: Endpoint | null): Promise<boolean> {
  if (leader === null) return false;
  try {
    return await waitFor(
      async () => {
        const [leading, own] = await Promise.all([fleet.facts(leader), fleet.facts(endpoint)]);
        return leading.position.id === own.position.id && leading.position.offset === own.position.offset;
      },
      { deadlineMs: SETTLED_WITHIN_MS, what: 'equal offsets' },
    );
  } catch {
    return false;
  }
}

async function readGates(
  fleet: TestFleet,
  endpoint: Endpoint,
): Promise<{ gates: Record<string, string>; replicationUser: string }> {
  return withRedis(endpoint, fleet.dev.credentials, { timeoutMs: 5000 }, async (redis) => {
    const gates: Record<string, string> = {};
    for (const name of Object.keys(GATE_A_SHUT)) {
      const [, value] = (await redis.config('GET', name)) as [string, string];
      gates[name] = value;
    }
    const users = (await redis.call('ACL', 'LIST')) as string[];
    const user = users.find((line) => line.startsWith(`user ${REPLICATION_USER} `)) ?? '';
    // Redis does not keep the order; the hash of the password is nobody's business.
    const rules = user.split(' ').filter((rule) => !rule.startsWith('#'));
    return { gates, replicationUser: rules.sort().join(' ') };
  });
}

function namesIn(directory: string): readonly string[] | null {
  try {
    return readdirSync(directory).sort();
  } catch {
    return null;
  }
}

/** With the children that they forked: none should be left. */
function redisProcessesIn(directory: string): number {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || commandName(Number(name))?.startsWith('redis') !== true) return false;
    try {
      return readlinkSync(`/proc/${name}/cwd`) === directory;
    } catch {
      return false;
    }
  }).length;
}
