/** Makes a process of this host lead that was started from a data file, as if its leader had just handed over to it. */

import { setTimeout as pause } from 'node:timers/promises';
import { withRedis, type Redis } from '../connections/redis.js';
import { FleetError } from '../fleet/errors.js';
import type { ProcessFacts, ReplicationPosition } from '../fleet/facts.js';
import { BLACK_HOLE } from '../fleet/gates.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import type { OwnServer } from './ownServer.js';
import type { HostSettings } from './settings.js';
import { standInLeader } from './standInLeader.js';

const ANSWER_TIMEOUT_MS = 3_000;
const LINKED_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 10;
/** Nobody has so many followers: it takes no writes. */
const FENCED = '99';

/** @throws LeaderUnfit: it is left as it is, following nobody */
export async function leadFromFile(
  settings: HostSettings,
  leader: Endpoint,
  position: ReplicationPosition | null,
): Promise<ProcessFacts> {
  return withRedis(leader, settings.credentials, { timeoutMs: ANSWER_TIMEOUT_MS }, async (redis) => {
    const facts = await look(redis);
    // An earlier attempt came so far.
    if (facts.role === 'leader') return facts;
    requireFromFile(leader, facts, settings, position);
    await redis.config('SET', 'min-replicas-to-write', FENCED);
    const needsBacklog = position !== null && !facts.backlog.active;
    const standIn = needsBacklog ? await standInLeader(settings.address) : null;
    try {
      if (standIn !== null) await followOnce(redis, leader, standIn);
      await redis.replicaof('NO', 'ONE');
    } finally {
      standIn?.close();
    }
    return look(redis);
  });
}

function requireFromFile(
  leader: Endpoint,
  { link, position: is }: ProcessFacts,
  { address }: HostSettings,
  position: ReplicationPosition | null,
): void {
  // One on our own address is the stand-in of an attempt that was given up.
  if (link?.up === true && link.address !== address) {
    throw new FleetError(
      'LeaderUnfit',
      `${showEndpoint(leader)} shall lead with restored data, and follows ${link.address}:${link.port}. It was left as it is.`,
    );
  }
  if (position === null || (is.id === position.id && is.offset === position.offset)) return;
  throw new FleetError(
    'LeaderUnfit',
    `${showEndpoint(leader)} shall lead from a file that stands at offset ${position.offset}, and stands at ${is.offset} itself ` +
      `(replication ids ${position.id} and ${is.id}): it loaded something else. It does not lead. Look at its redis.log.`,
  );
}

/** Without a backlog a promotion begins a new history; a process that followed somebody, be it for nothing, has one. */
async function followOnce(redis: Redis, leader: Endpoint, standIn: OwnServer): Promise<void> {
  await redis.replicaof(standIn.address, standIn.port);
  const end = performance.now() + LINKED_WITHIN_MS;
  while ((await look(redis)).link?.up !== true) {
    if (performance.now() >= end) {
      await redis.replicaof(BLACK_HOLE.address, BLACK_HOLE.port);
      throw new FleetError(
        'LeaderUnfit',
        `${showEndpoint(leader)} did not make itself a replication backlog within ${LINKED_WITHIN_MS / 1000} s. It does not lead. Look at its redis.log, then retry.`,
      );
    }
    await pause(LOOK_EVERY_MS);
  }
}

async function look(redis: Redis): Promise<ProcessFacts> {
  return parseProcessFacts(await redis.info());
}
