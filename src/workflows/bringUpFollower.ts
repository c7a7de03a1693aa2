/**
 * Brings up a follower in the way that spares its leader most, and proves afterwards that the leader did not fork
 * (or forked once, with the permit). The leader serves all the time; any step may fail and nothing it holds is lost.
 */

import type { ForkBaseline, Placement, ProcessSpec } from '../activities/contracts.js';
import { configuredBacklog } from '../fleet/backlog.js';
import {
  chooseWay,
  explainImpossible,
  type BringUpFacts,
  type ChosenWay,
  type RejectedWay,
} from '../fleet/bringUp.js';
import { forkHeadroom } from '../fleet/headroom.js';
import { showSize } from '../fleet/quantities.js';
import { sameEndpoint, showEndpoint, type Endpoint } from '../fleet/record.js';
import type { BringUpFollowerRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, local, onHost } from './activityOptions.js';
import { lookAtBringUp } from './bringUpFacts.js';
import { refusal } from './failures.js';
import { runRunbook, type Runbook } from './runbook.js';

export interface BroughtUpFollower {
  readonly database: string;
  readonly leader: Endpoint;
  readonly follower: Endpoint;
  readonly way: ChosenWay['way'];
  readonly why: string;
  readonly rejected: readonly RejectedWay[];
  /** Forks of the leader during this runbook, by its own counter: 0, or 1 by the way `full`. */
  readonly leaderForks: number;
  /** The leader's `total_forks` afterwards. */
  readonly leaderTotalForks: number;
}

const HOUR_MS = 3_600_000;
/** Copying and loading take as long as the data is large; everything else is quick. */
const FOR_DATA = { startToCloseTimeout: '2 hours', scheduleToCloseTimeout: '6 hours' } as const;
const FOLLOW_DEADLINE_MS = 60_000;
const PERMIT_WAIT_MS = 60_000;

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
        const seen = await lookAtBringUp(placement, request);
        const decided = chooseWay(seen);
        if (!decided.possible) {
          throw refusal('NoHeadroom', explainImpossible(database, decided.rejected));
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

    await widenBacklog(runbook, chosen, facts);
    await startFollower(runbook, placement, chosen, facts);
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
        await synchroniseFromLeader(runbook, database, follower, baseline);
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

    const proof = await runbook.step({
      ...PROVE,
      skip: {
        means:
          'The follower is recorded although its leader forked more often than allowed, or was restarted.',
        value: { forks: -1, totalForks: -1 },
      },
      run: () =>
        control(`forks of ${database}`).proveForks({ baseline, allowed: chosen.way === 'full' ? 1 : 0 }),
    });
    runbook.note(
      `The leader forked ${proof.forks} times during this runbook (total_forks ${proof.totalForks}).`,
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
      leaderForks: proof.forks,
      leaderTotalForks: proof.totalForks,
    };
  });
}

const CHECK = { name: 'check the request', does: 'Validates the argument.' };
const PLACE = {
  name: 'find the database',
  does: 'Reads its record and decides on which host the follower shall run.',
};
const CLAIM = { name: 'claim the database', does: 'No other runbook may change it meanwhile.' };
const CHOOSE = {
  name: 'choose the way',
  does: 'Looks at the leader, at all files and other followers, and chooses the way that spares the leader most.',
};
const WIDEN = {
  name: 'widen the backlog',
  does: "Widens the leader's backlog, so that it covers the time of loading.",
};
const START = {
  name: 'start the follower',
  does: 'Puts its data file in place and starts it, following nobody yet.',
};
const PERMIT = { name: 'take the fork permit', does: 'Only one process of a host may fork at a time.' };
const SYNCHRONISE = {
  name: 'synchronise from another follower',
  does: 'Opens the gate of the other follower for this one: the fork is there, not on the leader.',
};
const FULL = {
  name: 'synchronise from the leader',
  does: 'Opens the gate of the leader for this one follower: the leader forks once.',
};
const RETURN_PERMIT = { name: 'give back the fork permit', does: 'Others on that host may fork again.' };
const FOLLOW = {
  name: 'follow the leader',
  does: 'Points the follower at its leader: a partial synchronisation.',
};
const EQUAL_OFFSETS = {
  name: 'wait for equal offsets',
  does: 'Waits until the follower has reached an offset that its leader had.',
};
const PROVE = {
  name: 'prove the forks',
  does: "Compares the leader's own fork counter with that of the beginning.",
};
const RECORD = { name: 'record the follower', does: 'The record names it, and the catalog follows.' };
const TIDY = {
  name: 'tidy up',
  does: 'The backlog gets its configured size back, and the old data file is removed.',
};
const RELEASE = { name: 'release the database', does: 'Other runbooks may work on it.' };

const BEFORE_THE_CHOICE = [CHECK, PLACE, CLAIM, CHOOSE, EQUAL_OFFSETS, PROVE, RECORD, TIDY, RELEASE];
const AT_THE_END = [EQUAL_OFFSETS, PROVE, RECORD, TIDY, RELEASE];
const STEPS_BY_WAY = {
  following: AT_THE_END,
  'own-files': [WIDEN, START, FOLLOW, ...AT_THE_END],
  backup: [WIDEN, START, FOLLOW, ...AT_THE_END],
  chain: [WIDEN, START, PERMIT, SYNCHRONISE, RETURN_PERMIT, FOLLOW, ...AT_THE_END],
  full: [START, PERMIT, FULL, RETURN_PERMIT, ...AT_THE_END],
} as const satisfies Record<ChosenWay['way'], unknown>;

async function release(database: string): Promise<void> {
  await control(`release ${database}`).releaseDatabases({ databases: [database] });
}

/** A follower on a further host, beside one that lives, is an extra one. */
function roleOf({ record, follower }: Placement, facts: BringUpFacts): 'follower' | 'extra' {
  const other = record.follower !== null && !sameEndpoint(record.follower, follower) ? record.follower : null;
  const lives = other !== null && facts.sources.some(({ endpoint }) => sameEndpoint(endpoint, other));
  return lives ? 'extra' : 'follower';
}

async function widenBacklog(runbook: Runbook, chosen: ChosenWay, { leader }: BringUpFacts): Promise<void> {
  if (chosen.way === 'following' || chosen.way === 'full') {
    return;
  }
  const before = leader.facts.backlog.size;
  await runbook.step({
    ...WIDEN,
    undo: {
      does: 'Gives the backlog the size it had.',
      run: async () => {
        await control('narrow the backlog').resizeBacklog({ leader: leader.endpoint, bytes: before });
      },
    },
    run: async () => {
      if (chosen.backlogBytes > before) {
        await control('widen the backlog').resizeBacklog({
          leader: leader.endpoint,
          bytes: chosen.backlogBytes,
        });
      }
    },
  });
}

async function startFollower(
  runbook: Runbook,
  { database: { name: database, maxmemory }, followerHost, follower }: Placement,
  chosen: ChosenWay,
  facts: BringUpFacts,
): Promise<void> {
  if (chosen.way === 'following') {
    return;
  }
  const host = onHost(followerHost.name, `${database} on ${followerHost.name}`, FOR_DATA);
  const wasRunning = facts.follower.process.state === 'running';
  const process: ProcessSpec = {
    database,
    port: follower.port,
    maxmemory,
    backlogBytes: configuredBacklog(maxmemory),
  };
  const keepsData = chosen.way === 'own-files';
  await runbook.step({
    ...START,
    undo: {
      does: 'Lets the follower go, and stops it and puts its old data file back if it was down before.',
      run: async () => {
        if (wasRunning && keepsData) {
          await control(`let go of ${database}`).detach({ follower });
          return;
        }
        await host.stopProcess({ database, save: false });
        await host.restoreDataFile({ database });
      },
    },
    run: async () => {
      if (wasRunning && keepsData) {
        return;
      }
      switch (chosen.way) {
        case 'own-files':
          break;
        case 'backup':
          await host.placeBackup({ database, file: chosen.file });
          break;
        case 'chain':
        case 'full':
          await host.setDataFileAside({ database });
          break;
      }
      await host.startProcess({ process, allowEmpty: true });
      await control(`${database} loads`, FOR_DATA).awaitLoaded({ endpoint: follower, deadlineMs: HOUR_MS });
    },
  });
}

async function followLeader(runbook: Runbook, follower: Endpoint, leader: ForkBaseline): Promise<void> {
  await runbook.step({
    ...FOLLOW,
    undo: {
      does: 'Lets the follower go: it keeps its data and follows nobody.',
      run: () => control('let go of the follower').detach({ follower }),
    },
    run: () => control('follow the leader').follow({ follower, leader, deadlineMs: FOLLOW_DEADLINE_MS }),
  });
}

async function chainFrom(
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
  const baseline: ForkBaseline = {
    endpoint: source,
    runId: seen.facts.runId,
    totalForks: seen.facts.totalForks,
  };
  await underForkPermit(
    runbook,
    { host: source.host, database, reason: `chain to ${follower.host}` },
    async () => {
      await runbook.step({
        ...SYNCHRONISE,
        undo: shuttingGates(source),
        run: async () => {
          await requireHeadroom(source);
          await control(`copy from ${source.host}`, FOR_DATA).synchroniseFully({
            source: baseline,
            follower,
            deadlineMs: HOUR_MS,
          });
          await control(`catch up with ${source.host}`, FOR_DATA).awaitCaughtUp({
            leader: baseline,
            follower,
            deadlineMs: HOUR_MS,
          });
        },
      });
    },
  );
}

async function synchroniseFromLeader(
  runbook: Runbook,
  database: string,
  follower: Endpoint,
  leader: ForkBaseline,
): Promise<void> {
  const { host } = leader.endpoint;
  await underForkPermit(runbook, { host, database, reason: 'full synchronisation from the leader' }, () =>
    runbook.step({
      ...FULL,
      approval: {
        danger:
          `The leader of ${database} on ${host} will fork once. While the fork lives, every page that is written ` +
          'is copied: up to as much memory as the database has.',
      },
      undo: shuttingGates(leader.endpoint),
      run: async () => {
        await requireHeadroom(leader.endpoint);
        await control(`copy from ${host}`, FOR_DATA).synchroniseFully({
          source: leader,
          follower,
          deadlineMs: HOUR_MS,
        });
      },
    }),
  );
}

/** Just before a fork, with the permit in hand: an approval may have waited for hours. */
async function requireHeadroom(endpoint: Endpoint): Promise<void> {
  const [memory, { usedMemory }] = await Promise.all([
    onHost(endpoint.host, `memory of ${endpoint.host}`).hostMemory(),
    control(`memory of ${showEndpoint(endpoint)}`).inspect({ endpoint }),
  ]);
  const headroom = forkHeadroom(memory, usedMemory);
  if (!headroom.fits) {
    throw refusal(
      'NoHeadroom',
      `A fork of ${showEndpoint(endpoint)} could need ${showSize(usedMemory)}, and its host is ${showSize(headroom.short)} short of that. ` +
        'Nothing forked. Make room on that host, then retry.',
    );
  }
}

function shuttingGates(endpoint: Endpoint): { does: string; always: true; run: () => Promise<void> } {
  return {
    does: `Shuts the gates of ${showEndpoint(endpoint)}.`,
    always: true,
    run: () => control('shut the gates').shutGates({ endpoint }),
  };
}

async function underForkPermit(
  runbook: Runbook,
  permit: { readonly host: string; readonly database: string; readonly reason: string },
  fork: () => Promise<void>,
): Promise<void> {
  const giveBack = (): Promise<void> =>
    control('give back the permit').releaseForkPermit({ host: permit.host });
  await runbook.step({
    ...PERMIT,
    undo: { does: 'Gives the permit back.', always: true, run: giveBack },
    run: () =>
      control(`fork permit of ${permit.host}`).acquireForkPermit({ ...permit, waitMs: PERMIT_WAIT_MS }),
  });
  await fork();
  await runbook.step({ ...RETURN_PERMIT, run: giveBack });
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
}
