/**
 * Brings up a follower in the way that spares its leader most, and proves afterwards that the leader did not fork
 * (or forked once, with the permit). The leader serves all the time; any step may fail and nothing it holds is lost.
 */

import type { ForkBaseline, ForkProof, Placement } from '../activities/contracts.js';
import { configuredBacklog } from '../fleet/backlog.js';
import {
  chooseWay,
  explainImpossible,
  mayNeedStore,
  type BringUpFacts,
  type ChosenWay,
  type RejectedWay,
} from '../fleet/bringUp.js';
import { sameEndpoint, type Endpoint } from '../fleet/record.js';
import type { BringUpFollowerRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, FOR_DATA, local, onHost } from './engine/activityOptions.js';
import { lookAtBringUp, lookInStore, requireOneLeader } from './bringUpFacts.js';
import {
  BEFORE_THE_CHOICE,
  CHECK,
  CHOOSE,
  CLAIM,
  EQUAL_OFFSETS,
  PLACE,
  PROVE,
  RECORD,
  RELEASE,
  STEPS_BY_WAY,
  TIDY,
  WIDEN,
} from './bringUpOutline.js';
import { discardFetched, fromStore, startFollower } from './bringUpStart.js';
import { chainFrom, followLeader, synchroniseFromLeader, synchroniseInPause } from './bringUpSynchronise.js';
import { refusal } from './engine/failures.js';
import { runRunbook } from './engine/runbook.js';
import { widenBacklog } from './widenBacklog.js';

export interface BroughtUpFollower {
  readonly database: string;
  readonly leader: Endpoint;
  readonly follower: Endpoint;
  readonly way: ChosenWay['way'];
  readonly why: string;
  readonly rejected: readonly RejectedWay[];
  /** Forks of the leader during this runbook, by its own counter: 0, or 1 by the way `full`. null: the proof was skipped. */
  readonly leaderForks: number | null;
  /** The leader's `total_forks` afterwards. */
  readonly leaderTotalForks: number | null;
}

const HOUR_MS = 3_600_000;

export async function bringUpFollower(
  input: BringUpFollowerRequest,
): Promise<RunbookResult<BroughtUpFollower>> {
  return runRunbook({ title: 'Bring up a follower' }, async (runbook) => {
    runbook.outline(BEFORE_THE_CHOICE);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'bringUpFollower', request: input }),
    });
    const { database } = request;

    const placement = await runbook.step({
      ...PLACE,
      preflight: true,
      run: () =>
        control(`where is ${database}`).readPlacement({
          database,
          ...(request.host === undefined ? {} : { host: request.host }),
        }),
    });
    const { record, follower } = placement;
    const { leader } = record;
    runbook.subject({
      fleet,
      servers: [record.server],
      databases: [database],
      hosts: [leader.host, follower.host],
      ...(request.approved === undefined ? {} : { approved: request.approved }),
    });

    await runbook.step({
      ...CLAIM,
      preflight: true,
      undo: { does: 'Releases the database.', always: true, run: () => release(database) },
      run: () => control(`claim ${database}`).claimDatabases({ databases: [database], urgency: 'planned' }),
    });
    runbook.guard(() => local().confirmOwnership({ databases: [database] }));

    const { facts, choice } = await runbook.step({
      ...CHOOSE,
      preflight: true,
      run: async () => {
        const quick = await lookAtBringUp(placement, request);
        requireOneLeader(database, quick);
        const first = chooseWay(quick);
        // A named file that is not there is not replaced by something else in silence.
        const alone = request.backup === undefined && mayNeedStore(quick, first);
        const seen = alone ? { ...quick, stored: await lookInStore(placement, fleet) } : quick;
        const decided = alone ? chooseWay(seen) : first;
        if (!decided.possible) {
          throw refusal('NoSafeWay', explainImpossible(database, decided.rejected, seen));
        }
        return { facts: seen, choice: decided };
      },
    });
    const { chosen, why, rejected } = choice;
    runbook.note(`Way: ${chosen.way}, because ${why}.`);
    for (const other of rejected) {
      runbook.note(`Not ${other.way}: ${other.why}.`);
    }
    runbook.outline(STEPS_BY_WAY[chosen.way]);
    const baseline: ForkBaseline = {
      endpoint: leader,
      runId: facts.leader.facts.runId,
      totalForks: facts.leader.facts.totalForks,
    };

    if (chosen.way !== 'following' && chosen.way !== 'full') {
      const before = facts.leader.facts.backlog.size;
      await widenBacklog(runbook, WIDEN, { leader, before, bytes: chosen.backlogBytes });
    }
    await startFollower(runbook, placement, chosen, facts, fleet);
    let mayFork = 0;
    switch (chosen.way) {
      case 'following':
        break;
      case 'own-files':
      case 'backup':
        await followLeader(runbook, follower, baseline);
        break;
      case 'chain':
        await chainFrom(runbook, database, chosen.source, facts, follower);
        await followLeader(runbook, follower, baseline);
        break;
      case 'full':
        if (chosen.pauseSeconds === undefined) {
          await synchroniseFromLeader(runbook, database, follower, baseline);
          mayFork = 1;
        } else {
          mayFork = await synchroniseInPause(runbook, database, follower, baseline, chosen.pauseSeconds);
        }
        break;
    }

    await runbook.step({
      ...EQUAL_OFFSETS,
      run: () =>
        control(`${database} catches up`, FOR_DATA).awaitCaughtUp({
          leader: baseline,
          follower,
          deadlineMs: HOUR_MS,
        }),
    });

    const proof = await runbook.step<ForkProof | null>({
      ...PROVE,
      skip: {
        means:
          'The follower is recorded although its leader forked more often than allowed, or was restarted.',
        value: null,
      },
      run: () => control(`forks of ${database}`).proveForks({ baseline, allowed: mayFork }),
    });
    runbook.note(
      proof === null
        ? 'What the leader forked during this runbook was not proved.'
        : `Forks of the leader during this runbook: ${proof.forks} (its total_forks is ${proof.totalForks}).`,
    );

    await runbook.step({
      ...RECORD,
      settles: true,
      undo: {
        does: 'Puts the followers back that the record had before.',
        run: () =>
          control(`restore the record of ${database}`).restoreFollowers({
            database,
            epoch: record.epoch,
            follower: record.follower,
            extraFollowers: record.extraFollowers ?? [],
          }),
      },
      run: () =>
        control(`record the follower of ${database}`).setFollower({
          database,
          epoch: record.epoch,
          follower,
          role: roleOf(placement, facts),
        }),
    });

    await runbook.step({
      ...TIDY,
      skip: {
        means: 'The leader keeps the wider backlog, or the old data file stays on the host.',
        value: undefined,
      },
      run: () => tidyUp(placement, chosen, facts),
    });

    await runbook.step({ ...RELEASE, run: () => release(database) });

    return {
      database,
      leader,
      follower,
      way: chosen.way,
      why,
      rejected,
      leaderForks: proof?.forks ?? null,
      leaderTotalForks: proof?.totalForks ?? null,
    };
  });
}

async function release(database: string): Promise<void> {
  await control(`release ${database}`).releaseDatabases({ databases: [database] });
}

/** A follower on a further host, beside one that lives, is an extra one. */
function roleOf({ record, follower }: Placement, facts: BringUpFacts): 'follower' | 'extra' {
  const other = record.follower !== null && !sameEndpoint(record.follower, follower) ? record.follower : null;
  const lives = other !== null && facts.sources.some(({ endpoint }) => sameEndpoint(endpoint, other));
  return lives ? 'extra' : 'follower';
}

async function tidyUp(
  { database: { name: database, maxmemory }, followerHost }: Placement,
  chosen: ChosenWay,
  { leader }: BringUpFacts,
): Promise<void> {
  if (chosen.way === 'following') {
    return;
  }
  const configured = configuredBacklog(maxmemory);
  await control('narrow the backlog').resizeBacklog({ leader: leader.endpoint, bytes: configured });
  await onHost(followerHost.name, 'remove the old data file').forgetPreviousDataFile({ database });
  if (fromStore(chosen)) await discardFetched(followerHost.name, database);
}
