/** What the control plane asks of Redis processes and tells them. Replication itself is in replication.ts. */

import { Context } from '@temporalio/activity';
import type { Credentials } from '../connections/credentials.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { BLACK_HOLE, isPointedAt } from '../fleet/gates.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import { showEndpoint } from '../fleet/record.js';
import type { RedisActivities } from './contracts.js';
import { pollUntil } from './polling.js';
import { ANSWER_TIMEOUT_MS, redisAccess, type RedisAccess } from './redisAccess.js';
import { replicationActivities } from './replication.js';

/** A process that loads answers INFO every now and then; one that died does not. */
const SILENCE_WHILE_LOADING_MS = 6_000;

export function redisActivities({ credentials }: { credentials: Credentials }): RedisActivities {
  const access = redisAccess(credentials);
  return { ...processActivities(access), ...replicationActivities(access) };
}

type ProcessActivities = Pick<
  RedisActivities,
  | 'observe'
  | 'inspect'
  | 'makeFirstLeader'
  | 'ensureBacklog'
  | 'resizeBacklog'
  | 'awaitLoaded'
  | 'proveForks'
  | 'measureWriteRate'
>;

function processActivities({ use, facts, sameProcess }: RedisAccess): ProcessActivities {
  return {
    async observe({ endpoint }) {
      try {
        return { reachable: true, facts: await facts(endpoint) };
      } catch (error) {
        if (error instanceof FleetError && error.kind === 'Unreachable') {
          return { reachable: false, why: messageOf(error) };
        }
        throw error;
      }
    },

    inspect: ({ endpoint }) => facts(endpoint),

    async measureWriteRate({ leader, overMs }) {
      const before = await facts(leader);
      const since = Date.now();
      await Context.current().sleep(overMs);
      const after = await facts(leader);
      const seconds = (Date.now() - since) / 1000;
      return Math.max(0, after.position.offset - before.position.offset) / seconds;
    },

    async makeFirstLeader({ endpoint }) {
      const now = await facts(endpoint);
      if (now.keys > 0) {
        throw new FleetError(
          'LeaderUnfit',
          `${showEndpoint(endpoint)} shall lead a new database and already holds ${now.keys} keys. ` +
            'They were left alone. Find out whose they are, and give the new database another port or an empty directory.',
        );
      }
      if (now.role === 'leader') {
        return;
      }
      if (!isPointedAt(now, BLACK_HOLE)) {
        throw new FleetError(
          'LeaderUnfit',
          `${showEndpoint(endpoint)} shall lead a new database and follows ${now.link?.address ?? '?'}:${now.link?.port ?? '?'}. It was left as it is.`,
        );
      }
      await use(endpoint, (redis) => redis.replicaof('NO', 'ONE'));
    },

    /**
     * A leader that never had a follower has no backlog, and a follower that came then would need a full
     * synchronisation. A PSYNC behind gate A makes Redis create the backlog and then wait, without a fork; so ask
     * for one and hang up.
     */
    async ensureBacklog({ leader, bytes }) {
      await use(leader, async (redis) => redis.config('SET', 'repl-backlog-size', bytes));
      const now = await facts(leader);
      if (now.backlog.active) {
        return now.position;
      }
      const created = await use(leader, async (redis) => {
        await redis.call('REPLCONF', 'capa', 'eof');
        await redis.call('REPLCONF', 'capa', 'psync2');
        redis.call('PSYNC', '?', '-1').catch(() => undefined); // it answers only with a fork, which never comes
        return pollUntil({ deadlineMs: ANSWER_TIMEOUT_MS, everyMs: 20 }, async () => {
          const { backlog, position } = await facts(leader);
          return backlog.active ? position : null;
        });
      });
      if (created === null) {
        throw new FleetError(
          'LeaderUnfit',
          `${showEndpoint(leader)} did not create a replication backlog. It did not fork.`,
        );
      }
      return created;
    },

    async resizeBacklog({ leader, bytes }) {
      return use(leader, async (redis) => {
        const before = parseProcessFacts(await redis.info()).backlog.size;
        await redis.config('SET', 'repl-backlog-size', bytes);
        return before;
      });
    },

    async awaitLoaded({ endpoint, deadlineMs }) {
      let silentSince: number | null = null;
      const loaded = await pollUntil({ deadlineMs }, async () => {
        try {
          const now = await facts(endpoint);
          silentSince = null;
          return now.loading ? null : now;
        } catch (error) {
          if (!(error instanceof FleetError && error.kind === 'Unreachable')) {
            throw error;
          }
          silentSince ??= Date.now();
          if (Date.now() - silentSince < SILENCE_WHILE_LOADING_MS) {
            return null;
          }
          throw new FleetError(
            'ProcessDied',
            `${showEndpoint(endpoint)} fell silent while it loaded its data file (${messageOf(error)}). The leader was not touched.`,
          );
        }
      });
      if (loaded === null) {
        throw new FleetError(
          'NotCaughtUp',
          `${showEndpoint(endpoint)} still loads its data file after ${Math.round(deadlineMs / 1000)} s. The leader was not touched. Retry to wait on.`,
        );
      }
      return loaded;
    },

    async proveForks({ baseline, allowed }) {
      const now = await sameProcess(baseline);
      const forks = now.totalForks - baseline.totalForks;
      if (forks > allowed) {
        throw new FleetError(
          'LeaderForked',
          `${showEndpoint(baseline.endpoint)} forked ${forks} times during this runbook, and ${allowed} were allowed. ` +
            'Its data is as it was. Find out who asked: see redis.log on that host. Skip this step once you know.',
        );
      }
      return { forks, totalForks: now.totalForks };
    },
  };
}
