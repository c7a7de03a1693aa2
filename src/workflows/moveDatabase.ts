/**
 * Moves a database to other hosts while it is written to. A new pair gets its data from the follower, so the leader does
 * not fork; it goes on with the leader's stream, takes over without losing a write, and proves itself before the old
 * processes go. The database is never without a follower. An abort before the hand-over leaves everything as it was.
 */

import type { ForkBaseline } from '../activities/contracts.js';
import type { MovePlan } from '../fleet/move.js';
import { sameEndpoint, showEndpoint, type Endpoint } from '../fleet/record.js';
import type { MoveDatabaseRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, local } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import { runRunbook, type Runbook } from './engine/runbook.js';
import { proveAndLeave } from './moveAway.js';
import type { CopiedInPause, MoveState } from './moveCopy.js';
import { handOverToNewPair } from './moveHandOver.js';
import { lookBeforeMove } from './moveLook.js';
import { CHECK, CLAIM, LOOK, outlineOf, PLAN, RELEASE, UNTIL_PLANNED } from './moveOutline.js';
import { receive } from './moveReceive.js';

export interface MovedDatabase {
  readonly database: string;
  readonly server: string;
  readonly from: { readonly leader: Endpoint; readonly follower: Endpoint };
  readonly leader: Endpoint;
  readonly follower: Endpoint;
  /** After it. */
  readonly epoch: number;
  /** For so long writes waited for the new leader. Milliseconds; null: an attempt before measured it. */
  readonly pausedMs: number | null;
  /** And before that for the copy, which fitted in no other way; null: they did not. */
  readonly copiedInPause: CopiedInPause | null;
  /** Of the old leader and of the new one while the move lasted, by their own counters: 0. */
  readonly leaderForks: number;
}

export async function moveDatabase(input: MoveDatabaseRequest): Promise<RunbookResult<MovedDatabase>> {
  return runRunbook({ title: 'Move a database' }, async (runbook) => {
    runbook.outline(UNTIL_PLANNED);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'moveDatabase', request: input }),
    });
    const { database } = request;
    const plan = await runbook.step({
      ...PLAN,
      preflight: true,
      // Not a local activity: who leaves must be in the history before anybody is stopped.
      run: () => control(`where ${database} goes`).planMove({ request }),
    });
    tellSubject(runbook, fleet, request, plan);
    const sight = await runbook.step({ ...LOOK, preflight: true, run: () => lookBeforeMove(plan) });
    await claim(runbook, plan);
    runbook.outline(outlineOf(plan.newcomers.length > 0));

    const oldLeader: ForkBaseline = {
      endpoint: plan.record.leader,
      runId: sight.leader.runId,
      totalForks: sight.leader.totalForks,
    };
    const state: MoveState = { copying: false, handedOver: false };
    const copiedInPause = await receive(runbook, { plan, sight, leader: oldLeader, request, state });
    const { handedOver, newLeader } = await handOverToNewPair(runbook, { plan, oldLeader, request, state });
    const { forks } = await proveAndLeave(runbook, plan, handedOver, newLeader);
    await runbook.step({
      ...RELEASE,
      run: () => control(`release ${database}`).releaseDatabases({ databases: [database] }),
    });
    return {
      database,
      server: plan.server,
      from: { leader: plan.record.leader, follower: plan.record.follower },
      leader: plan.leader,
      follower: plan.follower,
      epoch: handedOver.record.epoch,
      pausedMs: handedOver.pausedMs,
      copiedInPause,
      leaderForks: forks,
    };
  });
}

function tellSubject(
  runbook: Runbook,
  fleet: string,
  { database, approved }: MoveDatabaseRequest,
  { record, server, leader, follower, newcomers, leaving }: MovePlan,
): void {
  const hosts = [leader, follower, ...leaving].map(({ host }) => host);
  runbook.subject({
    fleet,
    servers: [...new Set([record.server, server])],
    databases: [database],
    hosts: [...new Set(hosts)],
    ...(approved === undefined ? {} : { approved }),
  });
  const stays = newcomers.length === 2 ? '' : ' Whoever of them is there already stays.';
  runbook.note(
    `${database} goes from ${showEndpoint(record.leader)} and ${showEndpoint(record.follower)} to ${showEndpoint(leader)} and ${showEndpoint(follower)}.${stays}`,
  );
}

async function claim(runbook: Runbook, { record }: MovePlan): Promise<void> {
  const { database } = record;
  const databases = [database];
  await runbook.step({
    ...CLAIM,
    preflight: true,
    undo: {
      does: 'Releases the database.',
      always: true,
      run: () => control(`release ${database}`).releaseDatabases({ databases }),
    },
    run: async () => {
      const [claimed] = await control(`claim ${database}`).claimDatabases({ databases, urgency: 'planned' });
      const follower = claimed?.follower ?? null;
      const same =
        claimed?.epoch === record.epoch && follower !== null && sameEndpoint(follower, record.follower);
      if (!same) {
        throw refusal(
          'RecordChanged',
          `The record of ${database} changed while this move was planned. It was left as it is; start the move again to plan from there.`,
        );
      }
    },
  });
  runbook.guard(() => local().confirmOwnership({ databases }));
}
