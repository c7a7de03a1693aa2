/** What a pause of writes looks at beforehand, and the end of one whose runbook broke off. */

import type { Credentials } from '../connections/credentials.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { judgePause } from '../fleet/pausedFork.js';
import type { DatabaseRecord } from '../fleet/record.js';
import type { PauseWritesRequest } from '../fleet/requests.js';
import type { RecordStore } from '../records/databases.js';
import type { PauseActivities, PausePlan } from './pauseContract.js';
import { redisAccess } from './redisAccess.js';

export interface PauseDependencies {
  readonly fleetName: string;
  readonly records: RecordStore;
  readonly credentials: Credentials;
}

export function pauseActivities({ fleetName, records, credentials }: PauseDependencies): PauseActivities {
  const access = redisAccess(credentials);

  async function recordsOf({ database, host }: PauseWritesRequest): Promise<readonly DatabaseRecord[]> {
    if (database !== undefined) {
      const stored = await records.read(database);
      if (stored !== null) return [stored.record];
      throw new FleetError(
        'NotFound',
        `Database ${database} has no record in fleet ${fleetName}: it was never provisioned. Nothing was paused. See which there are: redis-fleet status`,
      );
    }
    const led = (await records.list()).records
      .map(({ record }) => record)
      .filter(({ epoch, leader }) => epoch > 0 && leader.host === host);
    if (led.length > 0) return led;
    throw new FleetError(
      'NotFound',
      `Host ${host ?? '?'} leads no database of fleet ${fleetName}, so there are no writes to pause. See who leads: redis-fleet status`,
    );
  }

  async function look(record: DatabaseRecord, { fork = 'save', seconds }: PauseWritesRequest) {
    const [leader, follower] = await Promise.all(
      [record.leader, record.follower].map(async (endpoint) => {
        try {
          return endpoint === null ? null : await access.facts(endpoint);
        } catch (error) {
          if (error instanceof FleetError) return messageOf(error);
          throw error;
        }
      }),
    );
    const verdict = judgePause({ record, fork, leader: leader ?? null, follower: follower ?? null, seconds });
    return { database: record.database, record, ...verdict } satisfies PausePlan;
  }

  return {
    async planPause({ request }) {
      return await Promise.all((await recordsOf(request)).map((record) => look(record, request)));
    },

    async resumeWrites({ endpoint }) {
      try {
        await access.use(endpoint, (redis) => redis.call('CLIENT', 'UNPAUSE'));
      } catch (error) {
        // Its pause ends by itself; a process that is gone has none.
        if (!(error instanceof FleetError) || error.kind !== 'Unreachable') throw error;
      }
    },
  };
}
