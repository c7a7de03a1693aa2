/** The moves of a relocation: each is a runbook of its own, that goes on by itself even when this one is aborted. */

import {
  CancellationScope,
  CancelledFailure,
  condition,
  isCancellation,
  startChild,
} from '@temporalio/workflow';
import type { PlanRelocationsInput } from '../activities/relocationContract.js';
import { CONTROL_QUEUE, workflowId } from '../fleet/names.js';
import type { PlannedMove, RelocationPlan } from '../fleet/relocation/plan.js';
import { exhaustion, hostLine, movesOf, planLines } from '../fleet/relocation/planText.js';
import { showDuration } from '../fleet/quantities.js';
import type { MoveDatabaseRequest, RelocateDatabasesRequest } from '../fleet/requests.js';
import type { ControlArgument, RunbookResult } from '../fleet/runbook.js';
import { control } from './engine/activityOptions.js';
import { failureMessage, refusal } from './engine/failures.js';
import { attributesOf, now, type Subject } from './engine/log.js';
import type { Runbook } from './engine/runbook.js';
import { waitedFor } from './fork.js';
import type { MovedDatabase } from './moveDatabase.js';
import { COPY_IN_PAUSE } from './moveOutline.js';

export interface FailedMove {
  readonly database: string;
  readonly why: string;
}

export interface Relocating {
  readonly fleet: string;
  readonly wanted: PlanRelocationsInput;
  readonly request: RelocateDatabasesRequest;
  readonly first: RelocationPlan;
  /** Writes may wait for a copy that fits in no other way, and who said so; null: they may not. */
  readonly pause: AllowedPause | null;
  readonly moves: RelocationMoves;
}

/** Filled while it goes on. A second attempt of the step finds done what is done, and under way what is under way. */
export interface RelocationMoves {
  readonly running: Map<string, PlannedMove>;
  /** Not looked at yet. */
  readonly ended: EndedMove[];
  readonly moved: MovedDatabase[];
  /** Those that did not move later after all. */
  readonly failed: Map<string, FailedMove>;
}

export interface AllowedPause {
  readonly seconds: number;
  /** null: each move asks by itself. */
  readonly approval: ControlArgument | null;
}

export type EndedMove =
  | { readonly move: PlannedMove; readonly moved: MovedDatabase }
  | { readonly move: PlannedMove; readonly why: string };

const LOOK_EVERY_MS = 30_000;

/**
 * @returns the last plan: nothing has to move any more, or nothing more can be done for the host
 * @throws NoSafeWay when something would have to move, and a move failed, or a host cannot be drained
 */
export async function moveWhileNeeded(runbook: Runbook, relocating: Relocating): Promise<RelocationPlan> {
  try {
    return await planAndMove(runbook, relocating);
  } catch (error) {
    if (isCancellation(error)) tellWhoGoesOn(runbook, relocating.moves);
    throw error;
  }
}

async function planAndMove(runbook: Runbook, relocating: Relocating): Promise<RelocationPlan> {
  const { wanted, request, first, moves } = relocating;
  const { running, ended, moved, failed } = moves;
  const since = Date.parse(now());
  /** After a retry those that failed before may be tried again. */
  const refused = new Set<string>();
  let justEnded: PlannedMove[] = [];
  for (;;) {
    const plan = await control('plan again').planRelocations({
      ...wanted,
      underWay: [...running.values()],
      leave: [...refused, ...(request.rebalance ? moved.map(({ database }) => database) : [])],
      ended: justEnded,
    });
    // An abort does not interrupt it.
    if (CancellationScope.current().consideredCancelled)
      throw new CancelledFailure('It begins no more moves.');
    justEnded = [];
    for (const move of startable(plan)) {
      if (running.has(move.database)) continue;
      running.set(move.database, { ...move, start: 0, end: move.end - move.start });
      begin(move, relocating);
    }
    runbook.present(present(plan, [...running.keys()], first, since));
    if (running.size === 0) {
      const failedNow = [...failed.values()].filter(({ database }) => refused.has(database));
      return lastOf(plan, request, failedNow);
    }
    await condition(() => ended.length > 0, LOOK_EVERY_MS);
    for (const end of ended.splice(0)) {
      const { database } = end.move;
      running.delete(database);
      if ('moved' in end) {
        moved.push(end.moved);
        failed.delete(database);
        justEnded.push(end.move);
        runbook.note(movedLine(end.moved));
      } else {
        refused.add(database);
        failed.set(database, { database, why: end.why });
        runbook.note(`${database} was not moved: ${end.why}`);
      }
    }
  }
}

function tellWhoGoesOn(runbook: Runbook, { running }: RelocationMoves): void {
  for (const database of running.keys()) {
    const id = workflowId('moveDatabase', database);
    runbook.note(
      `The move of ${database} goes on by itself, and ends as it would alone. See it, or abort it: redis-fleet runbook show ${id}`,
    );
  }
}

function startable(plan: RelocationPlan): readonly PlannedMove[] {
  return (movesOf(plan)?.moves ?? []).filter(({ start }) => start === 0);
}

/** An abort of the relocation begins nothing more; a move that has begun ends as it would alone. */
function begin(
  move: PlannedMove,
  { fleet, request: { bandwidth }, pause, moves: { ended } }: Relocating,
): void {
  const { database, from, to, pauseSeconds } = move;
  const request: MoveDatabaseRequest = {
    database,
    to: { leader: to.leader.host, follower: to.follower.host },
    port: to.leader.port,
    expectedLeader: from.leader.host,
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(pauseSeconds === undefined || pause === null ? {} : pausing(pause)),
  };
  void CancellationScope.nonCancellable(async () => {
    try {
      const child = await startChild('moveDatabase', {
        args: [request],
        workflowId: workflowId('moveDatabase', database),
        taskQueue: CONTROL_QUEUE,
        parentClosePolicy: 'ABANDON',
        workflowTaskTimeout: '2 seconds',
        typedSearchAttributes: attributesOf(subjectOf(fleet, move)),
        staticSummary: `Move ${database}`,
      });
      const { result } = (await child.result()) as RunbookResult<MovedDatabase>;
      ended.push({ move, moved: result });
    } catch (error) {
      ended.push({ move, why: failureMessage(error) });
    }
  });
}

/** In the order in which the move itself says it, so that it has nothing to change. */
function subjectOf(fleet: string, { database, from, to }: PlannedMove): Subject {
  const hosts = [to.leader, to.follower, from.leader, from.follower].map(({ host }) => host);
  return { fleet, servers: [from.server, to.server], databases: [database], hosts };
}

function pausing({ seconds, approval }: AllowedPause): Pick<MoveDatabaseRequest, 'pauseWrites' | 'approved'> {
  return {
    pauseWrites: { seconds },
    ...(approval === null ? {} : { approved: { [COPY_IN_PAUSE.name]: approval } }),
  };
}

function movedLine({ database, from, leader, pausedMs, copiedInPause }: MovedDatabase): string {
  // undefined: a move that began before there was such a thing.
  const copied =
    copiedInPause == null ? '' : ` For its copy: ${waitedFor(copiedInPause, copiedInPause.seconds)}`;
  const paused = pausedMs === null ? '' : ` Writes waited for ${pausedMs.toFixed(1)} ms.`;
  return `${database} moved from ${from.leader.host} to ${leader.host}.${paused}${copied}`;
}

function present(
  plan: RelocationPlan,
  running: readonly string[],
  first: RelocationPlan,
  since: number,
): string[] {
  const ends = exhaustion(first.before);
  const left = ends === null ? null : ends - (Date.parse(now()) - since) / 1_000;
  const without =
    left === null
      ? []
      : [
          left > 0
            ? `Had nothing moved, memory might end in ${showDuration(left * 1_000)}.`
            : `Had nothing moved, memory might have ended ${showDuration(-left * 1_000)} ago.`,
        ];
  return [
    running.length === 0 ? 'Nothing moves.' : `Moving: ${running.join(', ')}.`,
    ...plan.before.map(hostLine),
    ...without,
  ];
}

function lastOf(
  plan: RelocationPlan,
  { rebalance, host }: RelocateDatabasesRequest,
  failed: readonly FailedMove[],
): RelocationPlan {
  // An evener fleet is good enough, where no single move makes it better.
  if (plan.kind === 'safe already' || rebalance) return plan;
  // All that can be done for it was done: stuck, it would keep the next relocation of this host from planning anew.
  if (host !== undefined && failed.length === 0) return plan;
  const problems = failed.map(({ database, why }) => `${database} was not moved: ${why}`);
  throw refusal('NoSafeWay', [...planLines(plan), ...problems].join(' '));
}
