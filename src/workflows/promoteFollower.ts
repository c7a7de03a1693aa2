/**
 * Promotes followers of leaders that have failed: one database, several, or all that a host or a zone leads. The way to
 * the record is short on purpose: a leader that is gone costs one workflow task. Nothing is changed before it is sure;
 * one that is refused does not hold up the others.
 */

import type { PromotionCase, PromotionOutcome } from '../fleet/promotion.js';
import type { PromoteFollowerRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { local } from './engine/activityOptions.js';
import { runRunbook } from './engine/runbook.js';
import {
  APPROVE_ASKED,
  APPROVE_BREAKER,
  CHECK,
  DRY_STEPS,
  FENCE,
  PROMOTE,
  USUAL_STEPS,
} from './promotionOutline.js';
import { PromotionRun } from './promotionRun.js';
import { wouldBe } from './promotionText.js';

export interface PromotedFollowers {
  /** Only said, not done. */
  readonly dryRun: boolean;
  /** Of every database of the request. */
  readonly outcomes: readonly PromotionOutcome[];
}

export async function promoteFollower(
  input: PromoteFollowerRequest,
): Promise<RunbookResult<PromotedFollowers>> {
  return runRunbook({ title: 'Promote followers' }, async (runbook) => {
    runbook.outline(input.dryRun === true ? DRY_STEPS : USUAL_STEPS);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'promoteFollower', request: input }),
    });
    if (request.approved !== undefined) runbook.subject({ fleet, approved: request.approved });
    if (request.ask === true && request.dryRun !== true) {
      // Nothing is claimed meanwhile: a leader that comes back serves.
      const why = Object.values(request.detected?.why ?? {}).join(' ');
      const danger =
        `${why} A follower would lead instead, and what its leader acknowledged last may be lost.`.trim();
      await runbook.step({ ...APPROVE_ASKED, approval: { danger }, run: () => Promise.resolve() });
    }
    const run = new PromotionRun(runbook, fleet, request);
    const dryRun = request.dryRun === true;
    await (dryRun ? foretell(run) : promoteAll(run));
    return { dryRun, outcomes: run.results() };
  });
}

async function promoteAll(run: PromotionRun): Promise<void> {
  await run.claim();
  const { cases, breaker } = await run.confirm();
  const failed = breaker === null ? cases : await despiteBreaker(run, cases, breaker);
  // Those that need nobody's word first.
  const unfenced = await run.round(
    FENCE,
    PROMOTE,
    failed.filter(({ again }) => again === null),
  );
  await run.withApproval(
    unfenced,
    failed.filter(({ again }) => again !== null),
  );
  await run.promoteRest(failed);
  await run.finish();
}

async function foretell(run: PromotionRun): Promise<void> {
  await run.claim();
  const { cases, breaker } = await run.confirm();
  for (const found of cases) run.settle(wouldBe(found, breaker !== null));
}

async function despiteBreaker(
  run: PromotionRun,
  cases: readonly PromotionCase[],
  breaker: string,
): Promise<readonly PromotionCase[]> {
  const go = await run.approved(APPROVE_BREAKER, breaker, cases);
  return go === null
    ? run.leave(cases, 'nobody approved it despite the breaker')
    : run.stillFailed(cases, go);
}
