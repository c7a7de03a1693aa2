/** Keeps a process of this host from taking writes: by command, and when it does not obey, by SIGKILL. */

import type { Fenced } from '../activities/fenceContract.js';
import { withRedis, type Redis } from '../connections/redis.js';
import { FleetError } from '../fleet/errors.js';
import { BLACK_HOLE } from '../fleet/gates.js';
import { parseReplication } from '../fleet/processFacts.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { APPLICATION_USER } from '../fleet/redisConfig.js';
import type { RedisProcesses } from './processes.js';
import type { HostSettings } from './settings.js';
import { killNow } from './stop.js';

export interface Fencing {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly database: string;
  readonly endpoint: Endpoint;
  readonly obeyWithinMs: number;
}

/** @throws InvalidRequest when that process is not this host's; NotFenced when not even SIGKILL ends it */
export async function fence(fencing: Fencing): Promise<Fenced> {
  const { settings, processes, database, endpoint, obeyWithinMs } = fencing;
  const found = await processes.find(database);
  if (found?.pid == null) return 'gone';
  const { pid } = found;
  if (found.endpoint.address !== endpoint.address || found.endpoint.port !== endpoint.port) {
    throw new FleetError(
      'InvalidRequest',
      `${database} runs on ${settings.host} at ${showEndpoint(found.endpoint)}, not at ${showEndpoint(endpoint)}: nobody ` +
        `was fenced. Compare with \`redis-fleet status\` which of the two the record names.`,
    );
  }
  const answer = { timeoutMs: obeyWithinMs, signal: AbortSignal.timeout(obeyWithinMs) };
  try {
    await withRedis(endpoint, settings.credentials, answer, demote);
    return 'demoted';
  } catch {
    // It does not answer in time, or does not obey: whatever the reason, it must take no writes.
  }
  if (await killNow(pid, processes.files(database))) return 'killed';
  throw new FleetError(
    'NotFenced',
    `${database} on ${settings.host} (pid ${pid}) did not obey within ${obeyWithinMs} ms and does not end, not even by ` +
      `SIGKILL: it hangs in the kernel. It may take writes when it wakes. Switch that host off, or wait for its end.`,
  );
}

/** It follows nobody and keeps its data; its applications look for the leader anew. */
async function demote(redis: Redis): Promise<void> {
  const { role } = parseReplication(await redis.info('replication'));
  if (role === 'leader') await redis.call('REPLICAOF', BLACK_HOLE.address, BLACK_HOLE.port);
  // A fence of its agent must not stay when it leads again one day.
  // What fails of these two (a follower that loads refuses them) leaves it without writes all the same.
  await Promise.allSettled([
    redis.config('SET', 'min-replicas-to-write', '0'),
    redis.call('CLIENT', 'KILL', 'USER', APPLICATION_USER),
  ]);
}
