/**
 * From a backup that lies on the hosts to a leader and its follower that hold it. Both load the same file; one leads
 * with the file's own replication history, so the other continues it from its backlog: nobody forks.
 */

import type { ForkBaseline, ProcessSpec } from '../activities/contracts.js';
import type { Endpoint } from '../fleet/record.js';
import { showEndpoint } from '../fleet/record.js';
import type { RestorePlace } from '../fleet/restorePlace.js';
import { loaded } from './bringUpStart.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';
import type { FetchedOnHosts } from './restoreFetch.js';
import { FOLLOW, LEAD, PROVE, PUBLISH, PUT, START } from './restoreOutline.js';

export interface RestoredPair {
  readonly leader: Endpoint;
  /** null: it has none yet. */
  readonly follower: Endpoint | null;
  /** Forks of the leader since its process started. */
  readonly leaderForks: number;
}

const LOAD_DEADLINE_MS = 3_600_000;
const FOLLOW_DEADLINE_MS = 30_000;

/** @param undo of the placement: stops and removes what was started from the backup */
export async function runFromBackup(
  runbook: Runbook,
  place: RestorePlace,
  fetched: FetchedOnHosts,
  undo?: { readonly does: string; readonly run: () => Promise<void> },
): Promise<RestoredPair> {
  const { database, leader } = place;
  const { backup } = fetched;
  const copies = copiesOf(place, fetched);

  await runbook.step({
    ...PUT,
    ...(undo === undefined ? {} : { undo }),
    run: async () => {
      await Promise.all(
        copies.map(({ endpoint: { host }, file }) =>
          onHost(host, `put the backup in place on ${host}`, FOR_DATA).placeBackup({ database, file }),
        ),
      );
    },
  });

  await runbook.step({
    ...START,
    run: async () => {
      await Promise.all(copies.map(({ endpoint }) => startFrom(place, endpoint, fetched)));
    },
  });

  const baseline = await runbook.step({
    ...LEAD,
    run: () => onHost(leader.host, `${database} leads`).leadFromFile({ leader, position: backup.position }),
  });

  const follower = copies.find(({ endpoint }) => endpoint.host !== leader.host)?.endpoint ?? null;
  const following = follower === null ? null : await follow(runbook, database, follower, baseline);

  const { forks } = await runbook.step({
    ...PROVE,
    run: () =>
      control(`forks of ${database}`).proveForks({ baseline: { ...baseline, totalForks: 0 }, allowed: 0 }),
  });
  return { leader, follower: following, leaderForks: forks };
}

/** Nothing before this step was acknowledged by the restored leader; from here on it serves. */
export async function publish(
  runbook: Runbook,
  database: string,
  epoch: number,
  { leader, follower }: RestoredPair,
): Promise<void> {
  await runbook.step({
    ...PUBLISH,
    settles: true,
    run: async () => {
      await control(`publish ${database}`).publishRestored({ database, epoch, leader, follower });
      await control(`${database} serves`).letServe({ leader });
    },
  });
}

function copiesOf(
  { leader, follower }: RestorePlace,
  { backup, followerFile }: FetchedOnHosts,
): readonly { readonly endpoint: Endpoint; readonly file: string }[] {
  // Without a position in its file no follower can continue: it would have to make the leader fork.
  const second = backup.position === null ? null : followerFile;
  return [
    { endpoint: leader, file: backup.file },
    ...(follower === null || second === null ? [] : [{ endpoint: follower, file: second }]),
  ];
}

async function startFrom(
  { database, process }: RestorePlace,
  endpoint: Endpoint,
  { backup }: FetchedOnHosts,
): Promise<void> {
  const spec: ProcessSpec = { ...process, port: endpoint.port };
  await onHost(endpoint.host, `start ${database} on ${endpoint.host}`, FOR_DATA).startProcess({
    process: spec,
    allowEmpty: false,
  });
  await loaded(database, endpoint);
  const { keys, position, role } = await control(`what ${endpoint.host} loaded`, FOR_DATA).awaitLoaded({
    endpoint,
    deadlineMs: LOAD_DEADLINE_MS,
  });
  const where = showEndpoint(endpoint);
  // A leader has dropped what expired meanwhile: an earlier attempt of the next step came that far.
  if (backup.keys !== null && role === 'follower' && keys !== backup.keys) {
    throw refusal(
      'BadDataFile',
      `${where} was started from backup ${backup.id}, which has ${backup.keys} keys, and holds ${keys}. It takes no writes. ` +
        'Abort this runbook, and restore from another backup.',
    );
  }
  if (backup.position !== null && position.offset < backup.position.offset) {
    throw refusal(
      'BadDataFile',
      `${where} was started from backup ${backup.id}, which stands at offset ${backup.position.offset}, and stands at ${position.offset}. ` +
        'It takes no writes. Abort this runbook, and restore from another backup.',
    );
  }
}

/** @returns null: it was skipped */
async function follow(
  runbook: Runbook,
  database: string,
  follower: Endpoint,
  leader: ForkBaseline,
): Promise<Endpoint | null> {
  const follows = await runbook.step<boolean>({
    ...FOLLOW,
    skip: {
      means: `${database} is restored without a follower; bring one up afterwards: redis-fleet bring-up ${database}`,
      value: false,
    },
    run: async () => {
      await control(`${database} follows`).follow({ follower, leader, deadlineMs: FOLLOW_DEADLINE_MS });
      await control(`${database} catches up`, FOR_DATA).awaitCaughtUp({
        leader,
        follower,
        deadlineMs: LOAD_DEADLINE_MS,
      });
      return true;
    },
  });
  return follows ? follower : null;
}
