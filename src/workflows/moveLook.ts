/** Looks at everything that a move needs, before anything is changed. */

import type { HostMemory, ProcessFacts } from '../fleet/facts.js';
import { copyOnWriteShare } from '../fleet/headroom.js';
import {
  backlogForMove,
  roomProblem,
  sizeOfCopy,
  sourceProblem,
  type MovePlan,
  type MovePlanWithForks,
} from '../fleet/move.js';
import { sameEndpoint, showEndpoint, type Endpoint } from '../fleet/record.js';
import { control, onHost } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';

export interface MoveSight {
  readonly leader: ProcessFacts;
  readonly follower: ProcessFacts;
  /** What the leader's backlog has to be. Bytes. */
  readonly backlogBytes: number;
  /** Of used memory, that a fork costs while writes go on as they do now. */
  readonly forkShare: number;
}

/** Long enough to see a rate, short enough not to be felt. */
const RATE_WINDOW_MS = 150;

export async function lookBeforeMove(plan: MovePlanWithForks): Promise<MoveSight> {
  const { record, newcomers } = plan;
  const { database } = record;
  // The follower first: one that is looked at later than its leader may seem to be ahead.
  const follower = await control('look at the follower').inspect({ endpoint: record.follower });
  const leader = await control('look at the leader').inspect({ endpoint: record.leader });
  const unfit = sourceProblem(plan, leader, follower);
  if (unfit !== null) throw refusal('FollowerUnfit', `${unfit} Nothing was changed.`);

  const [writeRate, memory, ...targets] = await Promise.all([
    control('write rate of the leader').measureWriteRate({ leader: record.leader, overMs: RATE_WINDOW_MS }),
    memoryOf(record.leader),
    ...newcomers.map(memoryOf),
  ]);
  const forkShare = copyOnWriteShare({ writeRate, forks: plan.forks });
  for (const [index, newcomer] of newcomers.entries()) {
    const there = targets[index];
    if (there === undefined) continue;
    const share = sameEndpoint(newcomer, plan.follower) ? forkShare : 0;
    const full = roomProblem(record, newcomer, there, leader, share);
    if (full !== null) throw refusal('NoHeadroom', full);
  }
  const backlog = backlogForMove({ endpoint: record.leader, facts: leader, memory }, follower, writeRate);
  if (!backlog.fits) throw refusal('NoHeadroom', backlog.why);
  await Promise.all(newcomers.map((newcomer) => checkTarget(plan, newcomer, sizeOfCopy(leader))));
  return { leader, follower, backlogBytes: backlog.bytes, forkShare };

  async function checkTarget({ process }: MovePlan, newcomer: Endpoint, bytes: number): Promise<void> {
    const host = onHost(newcomer.host, `check ${newcomer.host}`);
    const there = await host.hostProcess({ database });
    if (there !== null) {
      throw refusal(
        'InvalidRequest',
        `${newcomer.host} has a process directory of ${database} (${there.state}, ${showEndpoint(there.endpoint)}) that the record does not know. ` +
          'It was left alone, since it may hold data that nobody else has, and nothing was changed. Look at it, remove it by hand, and start the move again.',
      );
    }
    // Ports, and disk for what it receives.
    await host.checkHost({ processes: [{ ...process, port: newcomer.port, maxmemory: bytes }] });
  }
}

function memoryOf({ host }: Endpoint): Promise<HostMemory> {
  return onHost(host, `memory of ${host}`).hostMemory();
}
