/** What a planned change of leader looks at before and after the hand-over; that one is in handOver.ts. */

import { Context } from '@temporalio/activity';
import type { Credentials } from '../connections/credentials.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { GATE_A_SHUT, isPointedAt, linkTo } from '../fleet/gates.js';
import { showEndpoint, type DatabaseRecord, type Endpoint } from '../fleet/record.js';
import { APPLICATION_USER } from '../fleet/redisConfig.js';
import type { SwitchoverRequest } from '../fleet/requests.js';
import { judgeSwitchover, type Seen, type SwitchoverPlan } from '../fleet/switchover.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { LeaseStore } from '../records/leases.js';
import { handOver, settleHandOver } from './handOver.js';
import { callingWorkflow } from './owner.js';
import { pollUntil } from './polling.js';
import { redisAccess } from './redisAccess.js';
import type { SwitchoverActivities } from './switchoverContract.js';

export interface SwitchoverDependencies {
  readonly fleetName: string;
  readonly records: RecordStore;
  readonly fleet: FleetStore;
  readonly leases: LeaseStore;
  readonly credentials: Credentials;
}

/** So that who was refused has read why, and looked for the new leader, before the connection is closed. */
const LET_GO_AFTER_MS = 100;

export function switchoverActivities(dependencies: SwitchoverDependencies): SwitchoverActivities {
  const { fleetName, records, fleet, leases, credentials } = dependencies;
  const access = redisAccess(credentials);

  const appliedFleet = (): Promise<Fleet> => fleet.applied('nothing can be handed over');

  async function recordsOf({ database, databases, host }: SwitchoverRequest): Promise<DatabaseRecord[]> {
    if (host !== undefined) {
      const led = (await records.list()).records
        .map(({ record }) => record)
        .filter(({ leader }) => leader.host === host);
      if (led.length > 0) return led;
      throw new FleetError(
        'NotFound',
        `Host ${host} leads no database of fleet ${fleetName}, so there is nothing to hand over. See who leads: redis-fleet status`,
      );
    }
    const names = databases ?? (database === undefined ? [] : [database]);
    return await Promise.all(
      names.map(async (name) => {
        const stored = await records.read(name);
        if (stored) return stored.record;
        throw new FleetError(
          'NotFound',
          `Database ${name} has no record in fleet ${fleetName}: it was never provisioned. Nothing was changed. See which there are: redis-fleet status`,
        );
      }),
    );
  }

  async function look(endpoint: Endpoint): Promise<Seen> {
    try {
      return { reachable: true, facts: await access.facts(endpoint) };
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      return { reachable: false, why: messageOf(error) };
    }
  }

  async function openGates(endpoint: Endpoint): Promise<readonly string[]> {
    const settings: unknown = await access.use(endpoint, (redis) =>
      redis.config('GET', 'repl-diskless-sync*'),
    );
    const is = Array.isArray(settings) ? settings.map(String) : [];
    return Object.entries(GATE_A_SHUT).flatMap(([name, shut]) => {
      const value = is[is.indexOf(name) + 1];
      return value === shut ? [] : [`${name} is ${value ?? 'unknown'}`];
    });
  }

  async function followerLease(record: DatabaseRecord) {
    return record.follower === null ? null : ((await leases.read(record.follower.host))?.lease ?? null);
  }

  async function plan(
    record: DatabaseRecord,
    applied: Fleet,
    expectedLeader?: string,
  ): Promise<SwitchoverPlan> {
    const nobody: Seen = { reachable: false, why: 'there is none' };
    const [leader, follower, lease] = await Promise.all([
      look(record.leader),
      record.follower === null ? nobody : look(record.follower),
      followerLease(record),
    ]);
    const sight = {
      record,
      leader,
      follower,
      openGates: record.follower !== null && follower.reachable ? await openGates(record.follower) : [],
      followerLease: lease,
      ...(expectedLeader === undefined ? {} : { expectedLeader }),
    };
    const forks =
      leader.reachable && follower.reachable
        ? { leader: leader.facts.totalForks, follower: follower.facts.totalForks }
        : null;
    return { database: record.database, record, verdict: judgeSwitchover(sight, applied), forks };
  }

  return {
    async planSwitchover({ request }) {
      const [applied, wanted] = await Promise.all([appliedFleet(), recordsOf(request)]);
      return await Promise.all(wanted.map((record) => plan(record, applied, request.expectedLeader)));
    },

    async handOver(input) {
      return await handOver({
        ...input,
        author: callingWorkflow('planned'),
        records,
        credentials,
        async judge({ stored, leader, follower }) {
          // In a move it is another one than the follower that the record names.
          const record = { ...stored.record, follower: input.to };
          const [applied, lease] = await Promise.all([appliedFleet(), followerLease(record)]);
          const sight = {
            record,
            leader: { reachable: true, facts: leader } as const,
            follower:
              follower.seen === 'up'
                ? ({ reachable: true, facts: follower.facts } as const)
                : ({ reachable: false, why: follower.why } as const),
            openGates: [],
            followerLease: lease,
            withFollowerOfItsOwn: stored.record.operation?.type === 'moveDatabase',
          };
          return judgeSwitchover(sight, applied);
        },
      });
    },

    async settleHandOver(input) {
      await settleHandOver({ ...input, author: callingWorkflow('planned'), records, credentials });
    },

    async awaitResynchronised({ database, leader, follower, forksBefore, deadlineMs }) {
      let goal: number | null = null;
      let lag = Number.NaN;
      const reached = await pollUntil({ deadlineMs, everyMs: 50 }, async () => {
        const [following, leading] = [await access.facts(follower), await access.facts(leader)];
        requireNoFork(database, leader, leading.totalForks - forksBefore.leader);
        requireNoFork(database, follower, following.totalForks - forksBefore.follower);
        if (linkTo(leading, follower)?.state === 'wait_bgsave') {
          throw new FleetError(
            'BacklogTooShort',
            `${showEndpoint(follower)}, which led database ${database}, asked the new leader ${showEndpoint(leader)} for a full synchronisation. ` +
              `The gate held: nobody forked, and the new leader serves. The database has no follower now; bring it up: redis-fleet bring-up ${database}`,
          );
        }
        // An offset that the leader had when first asked: under load it is always a little ahead.
        goal ??= leading.position.offset;
        lag = goal - following.position.offset;
        const follows = isPointedAt(following, leader) && following.link?.up === true;
        return follows && following.position.id === leading.position.id && lag <= 0 ? true : null;
      });
      if (reached === true) return;
      throw new FleetError(
        'NotCaughtUp',
        `${showEndpoint(follower)}, which led database ${database}, has not caught up with the new leader ${showEndpoint(leader)} ` +
          `within ${Math.round(deadlineMs / 1000)} s (${Number.isNaN(lag) ? 'its lag is unknown' : `${lag} bytes behind`}). The new leader serves. ` +
          `See that follower's redis.log, then: redis-fleet bring-up ${database}`,
      );
    },

    async letGoOfClients({ endpoint }) {
      await Context.current().sleep(LET_GO_AFTER_MS);
      return await access.use(endpoint, async (redis) => {
        // It may lead again by now: then they are where they belong.
        if ((await redis.role())[0] === 'master') return 0;
        return Number(await redis.call('CLIENT', 'KILL', 'USER', APPLICATION_USER));
      });
    },
  };
}

function requireNoFork(database: string, endpoint: Endpoint, forks: number): void {
  if (forks <= 0) return;
  throw new FleetError(
    'LeaderForked',
    `${showEndpoint(endpoint)} forked ${forks} times while database ${database} was handed over, which nobody asked for. ` +
      'The data is as it was, and the new leader serves. Find out who asked: see redis.log on that host.',
  );
}
