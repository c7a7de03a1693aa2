/** The steps of a bring-up in which the follower gets the data of another process, and is linked to its leader. */

import type { ForkBaseline } from '../activities/contracts.js';
import type { BringUpFacts } from '../fleet/bringUp.js';
import { sameEndpoint, showEndpoint, type Endpoint } from '../fleet/record.js';
import { FOLLOW, FULL, SYNCHRONISE } from './bringUpOutline.js';
import { control, FOR_DATA } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';
import {
  endingPause,
  forkWhileWritesWait,
  givingBackForkRights,
  synchroniseUnderPermit,
  waitedFor,
} from './fork.js';

const HOUR_MS = 3_600_000;
const FOLLOW_DEADLINE_MS = 30_000;

export async function followLeader(
  runbook: Runbook,
  follower: Endpoint,
  leader: ForkBaseline,
): Promise<void> {
  await runbook.step({
    ...FOLLOW,
    undo: {
      does: 'Lets the follower go: it keeps its data and follows nobody.',
      run: () => control('let go of the follower').detach({ follower }),
    },
    run: () => control('follow the leader').follow({ follower, leader, deadlineMs: FOLLOW_DEADLINE_MS }),
  });
}

export async function chainFrom(
  runbook: Runbook,
  database: string,
  source: Endpoint,
  { sources }: BringUpFacts,
  follower: Endpoint,
): Promise<void> {
  const seen = sources.find(({ endpoint }) => sameEndpoint(endpoint, source));
  if (seen === undefined) {
    throw refusal(
      'NotFound',
      `${showEndpoint(source)} was chosen as the source and is not among those looked at.`,
    );
  }
  const { runId, totalForks } = seen.facts;
  const baseline: ForkBaseline = { endpoint: source, runId, totalForks };
  await runbook.step({
    ...SYNCHRONISE,
    undo: givingBackForkRights(source),
    run: async () => {
      await synchroniseUnderPermit({
        source: baseline,
        followers: [follower],
        database,
        reason: `chain to ${follower.host}`,
      });
      await control(`catch up with ${source.host}`, FOR_DATA).awaitCaughtUp({
        leader: baseline,
        follower,
        deadlineMs: HOUR_MS,
      });
    },
  });
}

export async function synchroniseFromLeader(
  runbook: Runbook,
  database: string,
  follower: Endpoint,
  leader: ForkBaseline,
): Promise<void> {
  await runbook.step({
    ...FULL,
    approval: {
      danger:
        `The leader of ${database} on ${leader.endpoint.host} will fork once. While the fork lives, every page that ` +
        'is written is copied: up to as much memory as the database has.',
    },
    undo: givingBackForkRights(leader.endpoint),
    run: () =>
      synchroniseUnderPermit({
        source: leader,
        followers: [follower],
        database,
        reason: 'full synchronisation from the leader',
      }),
  });
}

/** @returns how often the leader was made to fork: a child that had to be called off counts as well */
export async function synchroniseInPause(
  runbook: Runbook,
  database: string,
  follower: Endpoint,
  leader: ForkBaseline,
  seconds: number,
): Promise<number> {
  let forks = 0;
  const paused = await runbook.step({
    ...FULL,
    approval: {
      danger:
        `Writes to ${database} will wait while its leader on ${leader.endpoint.host} forks, for ${seconds} s at most. Reads are ` +
        'served. A fork that takes longer is called off where memory would not bear it.',
    },
    undo: endingPause(leader.endpoint, leader.endpoint),
    run: () => {
      forks++;
      const fork = { what: 'follower', source: leader, followers: [follower] } as const;
      return forkWhileWritesWait(
        { database, leader, seconds, fork },
        'full synchronisation from the leader while writes wait',
      );
    },
  });
  runbook.note(waitedFor(paused, seconds));
  return forks;
}
