/** Pointing followers at leaders, such that nobody forks who was not allowed to. */

import { FleetError, messageOf } from '../fleet/errors.js';
import { coverage } from '../fleet/backlog.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { BLACK_HOLE, isPointedAt, linkTo } from '../fleet/gates.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { ForkBaseline, RedisActivities } from './contracts.js';
import { shutGatesOf } from './gateOpening.js';
import { pollUntil } from './polling.js';
import type { RedisAccess } from './redisAccess.js';
import { synchroniseFully } from './synchronise.js';

type ReplicationActivities = Pick<
  RedisActivities,
  'follow' | 'synchroniseFully' | 'shutGates' | 'detach' | 'awaitCaughtUp'
>;

/** How long a leader may be silent in the middle of a bring-up before the runbook says so. */
const LEADER_SILENCE_MS = 8_000;

export function replicationActivities(access: RedisAccess): ReplicationActivities {
  const { use, facts } = access;

  async function pointAt(follower: Endpoint, target: Pick<Endpoint, 'address' | 'port'>): Promise<void> {
    await use(follower, (redis) => redis.replicaof(target.address, target.port));
  }

  async function detach({ follower }: { follower: Endpoint }): Promise<void> {
    const now = await facts(follower);
    if (now.role === 'follower' && !isPointedAt(now, BLACK_HOLE)) {
      await pointAt(follower, BLACK_HOLE);
    }
  }

  /** The leader's facts, or LeaderUnfit when it has been silent too long. */
  function patientLook(leader: ForkBaseline): () => Promise<ProcessFacts | null> {
    let silentSince: number | null = null;
    return async () => {
      try {
        const now = await access.sameProcess(leader);
        silentSince = null;
        return now;
      } catch (error) {
        if (!(error instanceof FleetError && error.kind === 'Unreachable')) {
          throw error;
        }
        silentSince ??= Date.now();
        if (Date.now() - silentSince < LEADER_SILENCE_MS) {
          return null;
        }
        throw new FleetError(
          'LeaderUnfit',
          `The leader ${showEndpoint(leader.endpoint)} has not answered for ${LEADER_SILENCE_MS / 1000} s (${messageOf(error)}). ` +
            'The follower keeps the data it has. When the leader answers again, retry; when it is lost, abort this runbook and promote a follower.',
        );
      }
    };
  }

  return {
    detach,
    shutGates: ({ endpoint }) => shutGatesOf(access, endpoint),

    async follow({ follower, leader, deadlineMs }) {
      const look = patientLook(leader);
      const end = await pollUntil({ deadlineMs }, async () => {
        // The follower first: one that is fed through another follower would seem ahead of a leader looked at before.
        const following = await facts(follower);
        const leading = await look();
        if (leading === null) {
          return null;
        }
        if (!isPointedAt(following, leader.endpoint)) {
          requireCovered(leading, following, leader, follower);
          await pointAt(follower, leader.endpoint);
          return null;
        }
        if (linkTo(leading, follower)?.state === 'wait_bgsave') {
          await detach({ follower });
          throw new FleetError(
            'BacklogTooShort',
            `${showEndpoint(follower)} asked its leader ${showEndpoint(leader.endpoint)} for a full synchronisation. The gate held: the leader did not fork, ` +
              'and the follower was let go with its data. Abort this runbook and start it again: it will choose another way.',
          );
        }
        return following.link?.up === true && !following.link.synchronising ? following : null;
      });
      if (end === null) {
        // Not tried again by itself: whoever reads this finds the cause in a log, and it does not pass.
        throw new FleetError(
          'FollowerUnfit',
          `${showEndpoint(follower)} did not connect to its leader ${showEndpoint(leader.endpoint)} within ${Math.round(deadlineMs / 1000)} s. The leader did not fork. ` +
            `See the follower's redis.log (a wrong replication password, a firewall), then retry.`,
        );
      }
      return end;
    },

    synchroniseFully: (order) => synchroniseFully(access, order),

    async awaitCaughtUp({ leader, follower, deadlineMs }) {
      const started = Date.now();
      const look = patientLook(leader);
      let goal: number | null = null;
      let lag = 0;
      const reached = await pollUntil({ deadlineMs, everyMs: 50 }, async () => {
        const leading = await look();
        if (leading === null) {
          return null;
        }
        goal ??= leading.position.offset;
        const following = await facts(follower);
        lag = goal - following.position.offset;
        const sameHistory = following.position.id === leading.position.id;
        return sameHistory && lag <= 0 ? goal : null;
      });
      if (reached === null) {
        throw new FleetError(
          'NotCaughtUp',
          `${showEndpoint(follower)} is still ${lag} bytes behind ${showEndpoint(leader.endpoint)} after ${Math.round(deadlineMs / 1000)} s. ` +
            'Both serve as before. Retry, or find out what slows the follower.',
        );
      }
      return { offset: reached, waitedMs: Date.now() - started };
    },
  };
}

/** Before a follower is pointed at its leader: would the leader's backlog really do? @throws BacklogTooShort, FollowerUnfit */
function requireCovered(
  leading: ProcessFacts,
  following: ProcessFacts,
  leader: ForkBaseline,
  follower: Endpoint,
): void {
  if (leading.role !== 'leader') {
    throw new FleetError(
      'LeaderUnfit',
      `${showEndpoint(leader.endpoint)} does not lead: it follows another process itself. The follower was not pointed at it. See: redis-fleet status.`,
    );
  }
  if (following.link?.synchronising === true) {
    throw new FleetError(
      'FollowerUnfit',
      `${showEndpoint(follower)} is in the middle of a full synchronisation and has no position yet. Wait until that ended, then retry.`,
    );
  }
  const verdict = coverage(leading, following.position);
  if (!verdict.covered) {
    throw new FleetError(
      'BacklogTooShort',
      `${showEndpoint(follower)} cannot continue from the backlog of its leader ${showEndpoint(leader.endpoint)}: ${verdict.why}. ` +
        'It was not pointed at the leader, which did not fork. Abort this runbook and start it again: it will choose another way.',
    );
  }
}
