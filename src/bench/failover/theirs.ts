/** Sentinel's side: new processes for each measurement, since a group of sentinels remembers its last failover. */

import { Redis } from 'ioredis';
import { FleetError } from '../../fleet/errors.js';
import type { Address } from '../../testbed/clients.js';
import { sentinelAddresses, startSentinels, type SentinelGroup } from '../../testbed/sentinel.js';
import { now } from '../../testbed/traffic.js';
import type { Route } from '../../testbed/trafficContract.js';
import { makeZones, type Zones } from '../../testbed/zones.js';
import type { Stage, System } from './stage.js';

export interface TheirsOptions {
  readonly databases: readonly string[];
  readonly zones?: boolean;
}

/** Equal to ours. */
export const DOWN_AFTER_MS = 1000;
const MAXMEMORY = 64 * 1024 * 1024;

export function theirs({ zones = false }: { readonly zones?: boolean } = {}): System {
  return {
    name: 'Sentinel',
    async stage() {
      const database = 'sessions-00';
      const [stage] = await startTheirs({ databases: [database], zones });
      if (stage === undefined) throw new FleetError('NotFound', 'There is no stage.');
      return stage;
    },
    stop: () => Promise.resolve(),
  };
}

/** A stage for each database; the first one's end is the end of all. */
export async function startTheirs({
  databases,
  zones: zoned = false,
}: TheirsOptions): Promise<readonly Stage[]> {
  const zones = zoned ? await makeZones(sentinelAddresses) : null;
  try {
    const group = await startSentinels({
      databases,
      downAfterMs: DOWN_AFTER_MS,
      maxmemory: MAXMEMORY,
      ...(zones ? { zones } : {}),
    });
    const switches = await followSwitches(group);
    const end = async (): Promise<void> => {
      switches.close();
      await group.stop();
      await zones?.remove();
    };
    return databases.map((database) => stageOf(group, database, switches, zones, end));
  } catch (error) {
    await zones?.remove();
    throw error;
  }
}

function stageOf(
  group: SentinelGroup,
  database: string,
  switches: Switches,
  zones: Zones | null,
  end: () => Promise<void>,
): Stage {
  const leader = group.firstLeader(database);
  return {
    system: 'Sentinel',
    database,
    leader,
    follower: group.firstFollower(database),
    login: group.login,
    route: routeTo(group.sentinels),
    zones,
    leaderPid() {
      const pid = group.pidOf(leader);
      if (pid === null) throw new FleetError('NotFound', `${database} does not run beside Sentinel.`);
      return pid;
    },
    changedAt: () => switches.at.get(database) ?? null,
    leaderNow: () => group.leader(database),
    switchOver: () => group.failover(database),
    restartEmpty: () => group.restartEmpty(leader),
    phases(since) {
      const at = switches.at.get(database);
      return Promise.resolve(at === undefined ? {} : { 'switch announced': at - since });
    },
    end,
  };
}

export function routeTo(sentinels: readonly Address[]): Route {
  return { by: 'sentinel', sentinels, subscribed: true };
}

interface Switches {
  /** When each database's switch was announced first. */
  readonly at: ReadonlyMap<string, number>;
  close(): void;
}

async function followSwitches(group: SentinelGroup): Promise<Switches> {
  const at = new Map<string, number>();
  const subscribers = await Promise.all(
    group.sentinels.map(async ({ address, port }) => {
      const subscriber = new Redis({ host: address, port, lazyConnect: true, disableClientInfo: true });
      subscriber.on('error', () => undefined);
      subscriber.on('message', (_channel, text: string) => {
        const [database = ''] = text.split(' ');
        if (!at.has(database)) at.set(database, now());
      });
      await subscriber.connect();
      await subscriber.subscribe('+switch-master');
      return subscriber;
    }),
  );
  return {
    at,
    close() {
      for (const subscriber of subscribers) subscriber.disconnect();
    },
  };
}
