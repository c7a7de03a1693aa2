/** Plans a move, records it, and looks whether the pair that it made is at work. */

import { randomUUID } from 'node:crypto';
import type { Credentials } from '../connections/credentials.js';
import { FleetError } from '../fleet/errors.js';
import { isPointedAt, linkTo } from '../fleet/gates.js';
import { planMove } from '../fleet/move.js';
import { showEndpoint } from '../fleet/record.js';
import { recordMove } from '../fleet/recordMove.js';
import { lastForks } from '../fleet/relocation/forks.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { MaintenanceStore } from '../records/maintenance.js';
import type { MemoryStore } from '../records/memory.js';
import type { MoveActivities } from './moveContract.js';
import { readOwned } from './ownedRecord.js';
import { callingWorkflow } from './owner.js';
import { pollUntil } from './polling.js';
import { changeRecord } from './records.js';
import { redisAccess } from './redisAccess.js';

export interface MoveDependencies {
  readonly records: RecordStore;
  readonly fleet: FleetStore;
  readonly maintenance: Pick<MaintenanceStore, 'list'>;
  readonly memory: Pick<MemoryStore, 'read'>;
  readonly credentials: Credentials;
}

/** Nobody listens there: it moves the stream on and touches no data. */
const CHANNEL = 'redis-fleet:moved';

export function moveActivities(dependencies: MoveDependencies): MoveActivities {
  const { records, fleet, maintenance, memory, credentials } = dependencies;
  const access = redisAccess(credentials);

  return {
    async planMove({ request }) {
      const [applied, list, closed] = await Promise.all([
        fleet.applied('nothing can be moved'),
        records.list(),
        maintenance.list(),
      ]);
      const unreadable = list.invalid.find(({ database }) => database === request.database);
      if (unreadable) throw unreadable.problem;
      const all = list.records.map(({ record }) => record);
      const plan = planMove(applied, all, closed, request, Date.now());
      const { leader, follower } = plan.record;
      const histories = await Promise.all([leader, follower].map(({ host }) => memory.read(host)));
      const forks = lastForks(histories.filter((history) => history !== null));
      return { ...plan, forks: forks.get(request.database) ?? [] };
    },

    async recordMove({ database, ...wanted }) {
      const author = callingWorkflow('planned');
      await changeRecord(
        records,
        database,
        () => readOwned(records, database),
        (stored) => recordMove(stored.record, wanted, author),
      );
    },

    async provePair({ database, leader, follower, deadlineMs }) {
      const { endpoint } = leader;
      // It refuses where a write would be refused, and changes nothing where it is not.
      await access
        .use(endpoint, (redis) => redis.del(`redis-fleet:nobody:${randomUUID()}`))
        .catch((error: unknown) => {
          if (error instanceof FleetError) throw error;
          throw new FleetError(
            'LeaderUnfit',
            `${showEndpoint(endpoint)} leads database ${database} and takes no writes: ${String(error)}. Its old processes were left as they are. See: redis-fleet why ${database}`,
          );
        });
      await access.use(endpoint, (redis) => redis.publish(CHANNEL, database));
      const goal = (await access.sameProcess(leader)).position.offset;
      let lag = Number.NaN;
      const proven = await pollUntil({ deadlineMs, everyMs: 50 }, async () => {
        const following = await access.facts(follower);
        const leading = await access.sameProcess(leader);
        if (leading.role !== 'leader') {
          throw new FleetError(
            'LeaderUnfit',
            `${showEndpoint(endpoint)} does not lead database ${database} any more. Its old processes were left as they are. See: redis-fleet why ${database}`,
          );
        }
        lag = goal - following.position.offset;
        const forks = leading.totalForks - leader.totalForks;
        if (forks > 0) {
          throw new FleetError(
            'LeaderForked',
            `${showEndpoint(endpoint)} forked ${forks} times since it leads database ${database}, which nobody asked for. ` +
              'The data is as it was, and it serves. Find out who asked: see redis.log on that host, then retry.',
          );
        }
        const linked =
          isPointedAt(following, endpoint) &&
          following.link?.up === true &&
          linkTo(leading, follower)?.state === 'online';
        const same = following.position.id === leading.position.id;
        return linked && same && lag <= 0 ? { forks, offset: goal } : null;
      });
      if (proven !== null) return proven;
      throw new FleetError(
        'NotCaughtUp',
        `${showEndpoint(follower)} does not follow the new leader ${showEndpoint(endpoint)} of database ${database} within ${Math.round(deadlineMs / 1000)} s ` +
          `(${lag} bytes behind). The new leader serves, and the old processes follow it. See redis.log of the new follower, then retry.`,
      );
    },
  };
}
