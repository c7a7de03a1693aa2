/**
 * Moves databases off hosts that are full, to be drained, or uneven: plans, shows the plan, asks, and moves as many at once
 * as the hosts can bear. The world changes meanwhile, so it plans again after every move, and stops when all is well.
 */

import type { PlanRelocationsInput } from '../activities/relocationContract.js';
import type { RelocationPlan } from '../fleet/relocation/plan.js';
import { exhaustion, hostLine, movesOf, planLines, summary } from '../fleet/relocation/planText.js';
import { goalOf, optionsOf } from '../fleet/relocation/requested.js';
import { showDuration } from '../fleet/quantities.js';
import type { RelocateDatabasesRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, local } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import { runRunbook, type Runbook } from './engine/runbook.js';
import type { MovedDatabase } from './moveDatabase.js';
import { moveWhileNeeded, type FailedMove, type RelocationMoves } from './relocationMoves.js';
import {
  askForPause,
  mustAskForPause,
  pauseOf,
  pauseSentence,
  pauseThatHelps,
  type PauseOffer,
} from './relocationPause.js';

export interface Relocated {
  /** Only said, not done. */
  readonly dryRun: boolean;
  /** As it was at the beginning. */
  readonly plan: RelocationPlan;
  /** In the order in which they ended. */
  readonly moved: readonly MovedDatabase[];
  readonly failed: readonly FailedMove[];
  /** What would still have to be done in the end. */
  readonly after: RelocationPlan;
}

const CHECK = { name: 'check the request', does: 'Validates the argument.' };
const PLAN = {
  name: 'plan',
  does: 'Reads memory and growth of all hosts, and plans the moves with the least bytes.',
};
const MOVE = {
  name: 'move the databases',
  does: 'Starts a move for each database, several at a time, and plans again after each.',
};

export async function relocateDatabases(input: RelocateDatabasesRequest): Promise<RunbookResult<Relocated>> {
  return runRunbook({ title: 'Relocate databases' }, async (runbook) => {
    runbook.outline([CHECK, PLAN, MOVE]);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'relocateDatabases', request: input }),
    });
    const wanted = wantedOf(request);
    const dryRun = request.dryRun === true;
    const { found, offer } = await runbook.step({
      ...PLAN,
      preflight: true,
      run: () => findPlan(request, wanted),
    });
    tellSubject(runbook, fleet, request, offer?.plan ?? found);
    for (const line of planLines(found)) runbook.note(line);
    if (dryRun || (movesOf(found) === null && offer === null)) {
      runbook.outline([]);
      return { dryRun, plan: found, moved: [], failed: [], after: found };
    }
    const offered =
      offer === null ? null : await askForPause(runbook, offer, found, danger(offer.plan, offer.seconds));
    const plan = offer !== null && offered !== null ? offer.plan : found;
    if (plan !== found) for (const line of planLines(plan)) runbook.note(line);

    const moves: RelocationMoves = { running: new Map(), ended: [], moved: [], failed: new Map() };
    const asks = offered === null && (!isUrgent(plan, request) || mustAskForPause(plan, request));
    const after = await runbook.step({
      ...MOVE,
      ...(asks ? { approval: { danger: danger(plan, request.pauseWrites?.seconds ?? 0) } } : {}),
      run: (approval) => {
        const pause = offered ?? pauseOf(request, approval);
        const allowed = pause === null ? wanted : { ...wanted, pauseWrites: pause.seconds };
        return moveWhileNeeded(runbook, { fleet, wanted: allowed, request, first: plan, pause, moves });
      },
    });
    for (const line of planLines(after)) runbook.note(line);
    return { dryRun, plan, moved: moves.moved, failed: [...moves.failed.values()], after };
  });
}

/**
 * With what would help where none is found: while there is time to ask, and somebody to. Who approved beforehand is not
 * there to be asked for more.
 */
async function findPlan(
  request: RelocateDatabasesRequest,
  wanted: PlanRelocationsInput,
): Promise<{ readonly found: RelocationPlan; readonly offer: PauseOffer | null }> {
  const found = await control('plan').planRelocations(wanted);
  if (request.dryRun === true) return { found, offer: null };
  const nothing = movesOf(found) === null;
  const attended = request.pauseWrites === undefined && request.approved?.[MOVE.name] === undefined;
  const asks = attended && (nothing || !isUrgent(found, request));
  const offer = asks ? await pauseThatHelps(found, wanted) : null;
  if (found.kind === 'impossible' && nothing && offer === null) {
    throw refusal('NoSafeWay', `${planLines(found).join(' ')} Nothing was moved.`);
  }
  return { found, offer };
}

function wantedOf(request: RelocateDatabasesRequest): PlanRelocationsInput {
  return { goal: goalOf(request), ...optionsOf(request), underWay: [], leave: [], ended: [] };
}

function tellSubject(
  runbook: Runbook,
  fleet: string,
  { host, drain, approved }: RelocateDatabasesRequest,
  plan: RelocationPlan,
): void {
  const moves = movesOf(plan)?.moves ?? [];
  const hosts = moves.flatMap(({ from, to }) => [from.leader, from.follower, to.leader, to.follower]);
  const named = host ?? drain;
  runbook.subject({
    fleet,
    servers: [...new Set(moves.flatMap(({ from, to }) => [from.server, to.server]))],
    databases: moves.map(({ database }) => database),
    hosts: [...new Set([...(named === undefined ? [] : [named]), ...hosts.map((one) => one.host)])],
    ...(approved === undefined ? {} : { approved }),
  });
}

/** There may be no time to ask. */
function isUrgent(plan: RelocationPlan, { withoutAskingBelow = 0 }: RelocateDatabasesRequest): boolean {
  const ends = exhaustion(plan.before);
  return ends !== null && ends <= withoutAskingBelow;
}

/** @param seconds for which writes may wait */
function danger(plan: RelocationPlan, seconds: number): string {
  const moves = movesOf(plan);
  const names = moves?.moves.map(({ database }) => database).join(', ') ?? '';
  const ends = exhaustion(plan.before);
  const without =
    ends === null
      ? plan.before.slice(0, 1).map(hostLine).join('')
      : `Without it memory may end in ${showDuration(ends * 1_000)}`;
  return (
    `${names} will move, or others in their place as the world changes; writes to each wait for some milliseconds when its ` +
    `new leader takes over. ${pauseSentence(plan, seconds)}${moves === null ? '' : summary(moves)} ${without}.`
  );
}
