/** The steps of a promotion, each with what it keeps: what was claimed, how it was fenced, and how each database ended. */

import type { ConfirmedFailures, FencedCase } from '../activities/promotionContract.js';
import { outcomeOf, promotedByOwner } from '../fleet/promotion.js';
import type { Fencing, PromotionCase, PromotionOutcome } from '../fleet/promotion.js';
import { showEndpoint } from '../fleet/record.js';
import type { DatabaseRecord } from '../fleet/record.js';
import type { PromoteFollowerRequest } from '../fleet/requests.js';
import { control, local } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';
import {
  APPROVE_AGAIN,
  APPROVE_UNFENCED,
  CLAIM,
  CONFIRM,
  CONFIRM_AGAIN,
  FENCE_AGAIN,
  PROMOTE_APPROVED,
  PROMOTE_LEFT,
  RELEASE,
  TIDY,
} from './promotionOutline.js';
import { fenceAll } from './promotionFencing.js';
import { promotionNotes, refusalOf } from './promotionText.js';
import type { Refused } from './promotionText.js';

/** An approval that was given beforehand takes no time; after any other, the world may be another. */
const WAITED_MS = 1_000;

export class PromotionRun {
  private readonly outcomes = new Map<string, PromotionOutcome>();
  private readonly records = new Map<string, DatabaseRecord>();
  private readonly fencings = new Map<string, Fencing>();
  private confirmedAgain = 0;
  private promotedBefore = false;

  constructor(
    private readonly runbook: Runbook,
    private readonly fleet: string,
    private readonly request: PromoteFollowerRequest,
  ) {}

  async claim(): Promise<void> {
    const { request, runbook } = this;
    const claims = await runbook.step({
      ...CLAIM,
      preflight: true,
      undo: { does: 'Releases what was claimed.', always: true, run: () => release() },
      run: async () => {
        const found = await local().claimForPromotion({ request });
        const refused = found.flatMap((one) => (one.claimed ? [] : [one]));
        if (refused.length === found.length) throw refusedAll(refused);
        return found;
      },
    });
    for (const one of claims) {
      if (one.claimed) this.records.set(one.database, one.record);
      else this.settle({ database: one.database, outcome: 'refused', why: one.why });
      // By an attempt of this run that nobody heard the end of.
      if (one.claimed && one.promoted && promotedByOwner(one.record)) {
        this.settle(outcomeOf(one.record));
        this.promotedBefore = true;
      }
    }
    const all = [...this.records.values()];
    runbook.subject({
      fleet: this.fleet,
      servers: all.map(({ server }) => server),
      databases: all.map(({ database }) => database),
      hosts: all.flatMap(({ leader, follower }) => [
        leader.host,
        ...(follower === null ? [] : [follower.host]),
      ]),
    });
  }

  /** Those that have failed and can be promoted. */
  async confirm(): Promise<ConfirmedFailures> {
    const open = this.unsettled();
    const { cases, breaker } = await this.runbook.step({
      ...CONFIRM,
      preflight: true,
      run: async () => {
        const seen = await this.look(open);
        const refused = seen.cases.flatMap((found) => refusalOf(found) ?? []);
        if (refused.length === this.records.size) throw refusedAll(refused);
        return seen;
      },
    });
    return { cases: this.withoutRefused(cases), breaker };
  }

  /** One look is enough where it is clear. Otherwise the others do not wait: they are clear already. */
  private async look(records: readonly DatabaseRecord[]): Promise<ConfirmedFailures> {
    const { request } = this;
    const first = await local().confirmFailures({ records, request, patient: false });
    const doubted = new Set(
      first.cases.flatMap(({ database, verdict }) => (verdict.state === 'doubted' ? [database] : [])),
    );
    if (doubted.size === 0) return first;
    const open = records.filter(({ database }) => doubted.has(database));
    const second = await control('watch the leaders').confirmFailures({
      records: open,
      request,
      patient: true,
    });
    const clear = first.cases.filter(({ database }) => !doubted.has(database));
    return { cases: [...clear, ...second.cases], breaker: second.breaker ?? first.breaker };
  }

  /** Fences and promotes. @returns those that nobody could fence */
  async round(
    fence: { readonly name: string; readonly does: string },
    promote: { readonly name: string; readonly does: string },
    cases: readonly PromotionCase[],
  ): Promise<readonly PromotionCase[]> {
    if (cases.length === 0) {
      // Nobody heard the end of the attempt that did it: it is shown as done.
      if (this.promotedBefore)
        await this.runbook.step({ ...promote, settles: true, run: () => Promise.resolve() });
      return [];
    }
    const { fenced, unfenced } = await this.fence(fence, cases);
    await this.promote(promote, fenced);
    return unfenced;
  }

  private async fence(
    step: { readonly name: string; readonly does: string },
    cases: readonly PromotionCase[],
  ): Promise<{ readonly fenced: readonly FencedCase[]; readonly unfenced: readonly PromotionCase[] }> {
    const needed = cases.some(({ fencing }) => fencing === null);
    const how: ReadonlyMap<string, Fencing | null> = needed
      ? await this.runbook.step({ ...step, run: () => fenceAll(cases) })
      : new Map(cases.map(({ database, fencing }) => [database, fencing]));
    const fenced = cases.flatMap((found): FencedCase[] => {
      const fencing = how.get(found.database) ?? null;
      if (fencing === null) return [];
      this.fencings.set(found.database, fencing);
      return [{ ...found, fencing }];
    });
    return { fenced, unfenced: cases.filter(({ database }) => (how.get(database) ?? null) === null) };
  }

  private async promote(
    step: { readonly name: string; readonly does: string },
    cases: readonly FencedCase[],
  ): Promise<void> {
    if (cases.length === 0) return;
    const done = await this.runbook.step({ ...step, settles: true, run: () => this.promoteNow(cases) });
    for (const outcome of done) this.settle(outcome);
  }

  private promoteNow(cases: readonly FencedCase[]): Promise<readonly PromotionOutcome[]> {
    const { allowDataLoss = [] } = this.request;
    return local().promote({ cases, allowDataLoss });
  }

  /** What needs an engineer's word: another promotion so soon, or one without a fence. */
  async withApproval(
    unfencedBefore: readonly PromotionCase[],
    again: readonly PromotionCase[],
  ): Promise<void> {
    let unfenced = unfencedBefore;
    let fenced: readonly FencedCase[] = [];
    if (again.length > 0) {
      const go = await this.approved(
        APPROVE_AGAIN,
        again.flatMap((found) => found.again ?? []).join(' '),
        again,
      );
      const left = go
        ? await this.stillFailed(again, go)
        : this.leave(again, 'nobody approved another promotion');
      if (left.length > 0) {
        const fencedNow = await this.fence(FENCE_AGAIN, left);
        fenced = fencedNow.fenced;
        unfenced = [...unfenced, ...fencedNow.unfenced];
      }
    }
    if (unfenced.length > 0) {
      const go = await this.approved(APPROVE_UNFENCED, unfencedDanger(unfenced), unfenced);
      const left = go
        ? unfenced
        : this.leave(unfenced, 'nobody could fence its old leader, and nobody approved to go without');
      fenced = [...fenced, ...left.map((found): FencedCase => ({ ...found, fencing: 'approved' }))];
      for (const { database } of left) this.fencings.set(database, 'approved');
    }
    await this.promote(PROMOTE_APPROVED, fenced);
  }

  /** A follower that failed after its leader was fenced: nobody leads there, so it is tried again, and a person is told. */
  async promoteRest(cases: readonly PromotionCase[]): Promise<void> {
    const open = cases.flatMap((found): FencedCase[] => {
      const fencing = this.fencings.get(found.database);
      const done = this.outcomes.get(found.database)?.outcome === 'promoted';
      return fencing === undefined || done ? [] : [{ ...found, fencing }];
    });
    if (open.length === 0) return;
    await this.runbook.step<unknown>({
      ...PROMOTE_LEFT,
      skip: { means: `Nobody leads ${names(open)}.`, value: null },
      run: async () => {
        const done = await this.promoteNow(open);
        for (const outcome of done) this.settle(outcome);
        const refused = done.flatMap((one) => (one.outcome === 'refused' ? [one.why] : []));
        if (refused.length > 0) {
          throw refusal(
            'FollowerUnfit',
            `${refused.join(' ')} Nobody leads ${names(open)} now: its old leader is fenced.`,
          );
        }
      },
    });
  }

  /** @returns null: it was not approved; otherwise whether it took time */
  async approved(
    step: { readonly name: string; readonly does: string },
    danger: string,
    cases: readonly PromotionCase[],
  ): Promise<{ readonly waited: boolean } | null> {
    const since = Date.now();
    const yes = await this.runbook.step<boolean>({
      ...step,
      approval: { danger },
      skip: { means: `${names(cases)}: left as it is, without a leader.`, value: false },
      run: () => Promise.resolve(true),
    });
    return yes ? { waited: Date.now() - since > WAITED_MS } : null;
  }

  async stillFailed(
    cases: readonly PromotionCase[],
    { waited }: { readonly waited: boolean },
  ): Promise<readonly PromotionCase[]> {
    if (!waited || cases.length === 0) return cases;
    const names = new Set(cases.map(({ database }) => database));
    const open = this.unsettled().filter(({ database }) => names.has(database));
    const seen = await this.runbook.step({
      ...CONFIRM_AGAIN,
      name:
        this.confirmedAgain === 0 ? CONFIRM_AGAIN.name : `${CONFIRM_AGAIN.name} (${this.confirmedAgain + 1})`,
      run: () => this.look(open),
    });
    this.confirmedAgain += 1;
    return this.withoutRefused(seen.cases);
  }

  private async tidy(databases: readonly string[]): Promise<void> {
    const { runbook } = this;
    const tidied = await runbook.step({
      ...TIDY,
      skip: { means: 'The catalog is left to the agents, and further followers to a bring-up.', value: null },
      run: () => control('tidy up').tidyAfterPromotion({ databases }),
    });
    for (const { database, follower, why } of tidied?.left ?? []) {
      runbook.note(
        `${showEndpoint(follower)} does not follow the new leader of ${database}: ${why}. To mend it: redis-fleet bring-up ${database} --host ${follower.host}`,
      );
    }
  }

  private withoutRefused(cases: readonly PromotionCase[]): readonly PromotionCase[] {
    return cases.filter((found) => {
      const refused = refusalOf(found);
      if (refused !== null) this.settle({ database: found.database, outcome: 'refused', why: refused.why });
      return refused === null;
    });
  }

  leave(cases: readonly PromotionCase[], why: string): readonly [] {
    for (const { database } of cases)
      this.settle({ database, outcome: 'refused', why: `${database}: ${why}.` });
    return [];
  }

  settle(outcome: PromotionOutcome): void {
    this.outcomes.set(outcome.database, outcome);
  }

  private unsettled(): readonly DatabaseRecord[] {
    return [...this.records.values()].filter(({ database }) => !this.outcomes.has(database));
  }

  /** Tidies up, releases, and tells. */
  async finish(): Promise<void> {
    const { runbook } = this;
    for (const note of promotionNotes(this.results(), this.fencings)) runbook.note(note);
    const promoted = this.results().filter(({ outcome }) => outcome === 'promoted');
    if (promoted.length > 0) await this.tidy(promoted.map(({ database }) => database));
    await runbook.step({ ...RELEASE, run: () => release() });
  }

  /** How each database ended, so far. */
  results(): readonly PromotionOutcome[] {
    return [...this.outcomes.values()];
  }
}

async function release(): Promise<void> {
  await control('release the databases').releaseOwn();
}

function refusedAll(refused: readonly Refused[]): Error {
  return refusal(refused[0]?.kind ?? 'NotFound', refused.map(({ why }) => why).join(' '));
}

function names(cases: readonly { readonly database: string }[]): string {
  return cases.map(({ database }) => database).join(', ');
}

function unfencedDanger(cases: readonly PromotionCase[]): string {
  const leaders = cases.map(({ database, leader }) => `${database} on ${showEndpoint(leader)}`).join(', ');
  return (
    `Nobody could make sure that the old leader takes no more writes (${leaders}): its host is out of reach, and no agent there fences it. ` +
    'If it lives, applications beside it go on writing to it, and those writes are lost. See that it is off, or cut off, before you approve.'
  );
}
