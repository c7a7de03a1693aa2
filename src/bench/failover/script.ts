/** The yardstick for a planned change: the same commands by a script that has both connections open and asks nobody. */

import { openRedis } from '../../connections/redis.js';
import { FleetError } from '../../fleet/errors.js';
import type { Address } from '../../testbed/clients.js';
import { startSentinels } from '../../testbed/sentinel.js';
import { now } from '../../testbed/traffic.js';
import { waitFor } from '../../testbed/waiting.js';
import { sameAddress, type Stage, type System } from './stage.js';

const DATABASE = 'by-hand';
const PAUSE_MS = 1500;
const TIMEOUT_MS = 3000;
const SYNCHRONISED_WITHIN_MS = 20_000;

export interface Script extends System {
  readonly login: Stage['login'];
  readonly leader: Address;
}

/** One pair of processes, whose roles change with every measurement. */
export async function startScript(maxmemory: number): Promise<Script> {
  const group = await startSentinels({ databases: [DATABASE], downAfterMs: 1000, maxmemory, watched: false });
  const both = [group.firstLeader(DATABASE), group.firstFollower(DATABASE)] as const;
  const credentials = { administrator: group.administrator.password ?? '' };
  const open = (where: Address) =>
    openRedis({ host: DATABASE, ...where }, credentials, { timeoutMs: TIMEOUT_MS });
  const connections = both.map((where) => ({ where, redis: open(where) }));
  await Promise.all(connections.map(({ redis }) => redis.connect()));
  let [leader, follower] = both;

  const connectionTo = (where: Address) => {
    const found = connections.find((one) => sameAddress(one.where, where));
    if (found === undefined) throw new FleetError('NotFound', 'The script has no such connection.');
    return found.redis;
  };

  async function switchOver(): Promise<void> {
    const [old, next] = [connectionTo(leader), connectionTo(follower)];
    await old.client('PAUSE', PAUSE_MS, 'WRITE');
    const wanted = offsetIn(await old.info('replication'));
    while (offsetIn(await next.info('replication')) < wanted);
    await old.replicaof(follower.address, follower.port);
    await next.replicaof('NO', 'ONE');
    await old.client('UNPAUSE');
    [leader, follower] = [follower, leader];
  }

  return {
    name: 'script',
    login: group.login,
    get leader() {
      return leader;
    },
    async stage() {
      await waitFor(
        async () => /^master_link_status:up/m.test(await connectionTo(follower).info('replication')),
        { deadlineMs: SYNCHRONISED_WITHIN_MS, what: "the script's follower" },
      );
      const before = leader;
      let changed: number | null = null;
      return {
        system: 'script',
        database: DATABASE,
        leader,
        follower,
        login: group.login,
        route: { by: 'trying', both },
        zones: null,
        leaderPid: () => group.pidOf(before) ?? 0,
        changedAt: () => changed,
        leaderNow: () => Promise.resolve(leader),
        async switchOver() {
          await switchOver();
          changed = now();
        },
        restartEmpty: () => group.restartEmpty(before),
        phases: () => Promise.resolve({}),
        end: () => Promise.resolve(),
      };
    },
    async stop() {
      for (const { redis } of connections) redis.disconnect();
      await group.stop();
    },
  };
}

function offsetIn(replication: string): number {
  return Number(/^master_repl_offset:(\d+)/m.exec(replication)?.[1]);
}
