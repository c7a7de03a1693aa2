/** Looks at everything that the choice of a way depends on, all at once. Changes nothing. */

import { isCancellation } from '@temporalio/workflow';
import type { Placement } from '../activities/contracts.js';
import type { BringUpFacts, ChainSource, FileFinding, FollowerProcess } from '../fleet/bringUp.js';
import type { DataFile } from '../fleet/facts.js';
import { sameEndpoint, showEndpoint, type Endpoint } from '../fleet/record.js';
import type { BringUpFollowerRequest } from '../fleet/requests.js';
import { control, onHost, type Bounds } from './engine/activityOptions.js';
import { failureKind, failureMessage, refusal } from './engine/failures.js';

/** Long enough to see a rate, short enough not to be felt. */
const RATE_WINDOW_MS = 150;

export async function lookAtBringUp(
  { record, follower, followerHost, leaderHost }: Placement,
  { database, backup, way, pauseWrites }: BringUpFollowerRequest,
): Promise<BringUpFacts> {
  const { leader } = record;
  const onFollowerHost = onHost(followerHost.name, `look at ${followerHost.name}`);
  const [leaderFacts, leaderMemory, writeRate, process, ownFile, backupFile, sources] = await Promise.all([
    control('look at the leader').inspect({ endpoint: leader }),
    onHost(leaderHost.name, `memory of ${leaderHost.name}`).hostMemory(),
    control('write rate of the leader').measureWriteRate({ leader, overMs: RATE_WINDOW_MS }),
    lookAtProcess(follower, database),
    findFile(onFollowerHost.readDataFile({ database }), 'there is no data file in its own directory'),
    backup === undefined
      ? { found: false as const, why: 'no backup was named' }
      : findFile(onFollowerHost.readBackupFile({ file: backup.file }), `${backup.file} is not there`),
    lookAtSources(otherFollowers(record.follower, record.extraFollowers ?? [], follower)),
  ]);
  return {
    leader: { endpoint: leader, facts: leaderFacts, memory: leaderMemory },
    follower: { endpoint: follower, process },
    ownFile,
    backup: backupFile,
    sources,
    writeRate,
    ...(way === undefined ? {} : { only: way }),
    ...(pauseWrites === undefined ? {} : { pauseSeconds: pauseWrites.seconds }),
  };
}

/** Looks at no more backups than these: the older one is, the less a backlog covers it. */
const MOST_BACKUPS = 3;
/** A store that is out of reach is a reason against a way, not a failure: others may be possible. */
const STORE_BOUNDS: Bounds = {
  startToCloseTimeout: 30_000,
  scheduleToCloseTimeout: 45_000,
  retry: { maximumAttempts: 2 },
};

export async function lookInStore(
  { database: { name: database }, followerHost, store }: Placement,
  fleet: string,
): Promise<NonNullable<BringUpFacts['stored']>> {
  try {
    return await onHost(followerHost.name, `backups of ${database}`, STORE_BOUNDS).verifiedBackups({
      store,
      fleet,
      database,
      most: MOST_BACKUPS,
    });
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { unknown: `no backup was named, and the store could not be looked at: ${failureMessage(error)}` };
  }
}

/**
 * The leader of the record must lead, and nobody else: a follower that somebody promoted by hand may have acknowledged
 * writes that nobody else has, and a bring-up would throw them away.
 */
export function requireOneLeader(
  database: string,
  { follower: { endpoint, process }, leader }: BringUpFacts,
): void {
  if (leader.facts.role !== 'leader') {
    throw refusal(
      'LeaderUnfit',
      `${showEndpoint(leader.endpoint)} does not lead ${database}, as its record says: it follows ` +
        `${leader.facts.link?.address ?? '?'}:${leader.facts.link?.port ?? '?'}. It was restarted or re-pointed by hand, and its data may be ` +
        `old or empty, so no follower was pointed at it. Nothing was changed. Compare its keys with those of the ` +
        'follower (redis-fleet status), and make the one that has all of them lead before anything else.',
    );
  }
  if (process.state !== 'running' || process.facts.role !== 'leader' || process.facts.keys === 0) return;
  throw refusal(
    'FollowerUnfit',
    `${showEndpoint(endpoint)} takes writes itself: somebody made it a leader, but the record names ` +
      `${showEndpoint(leader.endpoint)} as the leader of ${database}. Its ${process.facts.keys} keys were left alone, because it may ` +
      'hold writes that nobody else has. Compare the two; if its writes may be lost, give them up with ' +
      `\`redis-cli -h ${endpoint.address} -p ${endpoint.port} --user redis-fleet --askpass REPLICAOF 127.0.0.1 1\`, then start this again.`,
  );
}

async function lookAtProcess(follower: Endpoint, database: string): Promise<FollowerProcess> {
  const seen = await onHost(follower.host, `process of ${database}`).hostProcess({ database });
  if (seen?.state !== 'running') {
    return { state: 'down' };
  }
  const facts = await control('look at the follower', { startToCloseTimeout: '30 minutes' }).awaitLoaded({
    endpoint: follower,
    deadlineMs: 1_800_000,
  });
  return { state: 'running', facts };
}

/** A file that is bad is a reason against a way, not a failure of the runbook. */
async function findFile(reading: Promise<DataFile | null>, none: string): Promise<FileFinding> {
  try {
    const file = await reading;
    return file === null ? { found: false, why: none } : { found: true, file };
  } catch (error) {
    const kind = failureKind(error);
    if (kind === 'BadDataFile' || kind === 'NotFound') {
      return { found: false, why: failureMessage(error) };
    }
    throw error;
  }
}

function otherFollowers(recorded: Endpoint | null, extra: readonly Endpoint[], target: Endpoint): Endpoint[] {
  return [...(recorded === null ? [] : [recorded]), ...extra].filter(
    (endpoint) => !sameEndpoint(endpoint, target),
  );
}

/** Followers that do not answer, or whose host does not, are no sources. */
async function lookAtSources(endpoints: readonly Endpoint[]): Promise<ChainSource[]> {
  const seen = await Promise.all(
    endpoints.map(async (endpoint): Promise<ChainSource | null> => {
      const observation = await control(`look at ${endpoint.host}`).observe({ endpoint });
      if (!observation.reachable) {
        return null;
      }
      try {
        const memory = await onHost(endpoint.host, `memory of ${endpoint.host}`).hostMemory();
        return { endpoint, facts: observation.facts, memory };
      } catch (error) {
        if (failureKind(error) === 'nobody serves') {
          return null;
        }
        throw error;
      }
    }),
  );
  return seen.filter((source) => source !== null);
}
