/** Runs the steps of a runbook: approval, guard, undo registered, attempt, and what a person decides after a failure. */

import { CancellationScope } from '@temporalio/workflow';
import type { Approvals, Decision, StepProgress } from '../../fleet/runbook.js';
import { attempt } from './attempt.js';
import { isOwnershipLost, problemOf, refusal } from './failures.js';
import type { Step } from './runbook.js';
import type { RunbookControl } from './control.js';
import { RunbookEnds, type Ending } from './ending.js';
import { now, type RunbookLog } from './log.js';
import type { Undo } from './undo.js';

export class RunbookSteps {
  private readonly registered: Undo[] = [];
  private approvals: Approvals = {};
  private check: (() => Promise<void>) | null = null;
  private ending: Ending | null = null;
  private active: string | null = null;

  /** @param scope that of the procedure's code: cancelled by an abort and by a cancellation of the workflow */
  constructor(
    private readonly log: RunbookLog,
    private readonly control: RunbookControl,
    private readonly scope: CancellationScope,
  ) {}

  guard(check: () => Promise<void>): void {
    this.check = check;
  }

  approve(approvals: Approvals): void {
    this.approvals = { ...this.approvals, ...approvals };
  }

  undos(): readonly Undo[] {
    return this.registered;
  }

  /** The first reason counts. */
  end(ending: Ending): void {
    this.ending ??= ending;
  }

  /** An abort or a cancellation that came too late for any step to notice. */
  endedAnyway(): Ending | null {
    if (this.scope.consideredCancelled) this.end({ how: 'cancelled' });
    return this.ending;
  }

  /** What the failure of the procedure's code means. */
  endedBy(error: unknown): Ending {
    return (
      this.endedAnyway() ?? (isOwnershipLost(error) ? { how: 'preempted', error } : { how: 'failed', error })
    );
  }

  async step<T>(step: Step<T>): Promise<T> {
    this.mustGoOn();
    if (this.active !== null) {
      throw refusal(
        'InvalidRequest',
        `Step "${step.name}" began inside step "${this.active}": steps do not overlap.`,
      );
    }
    if (!this.log.begin(step)) {
      throw refusal('InvalidRequest', `There are two steps of the name "${step.name}" in this runbook.`);
    }
    this.active = step.name;
    try {
      return await this.perform(step);
    } finally {
      this.active = null;
    }
  }

  private async perform<T>(step: Step<T>): Promise<T> {
    const approval = step.approval === undefined ? null : await this.approved(step, step.approval.danger);
    if (approval?.message === 'skip' && step.skip !== undefined) return step.skip.value;
    const isRegistered = { undo: false };
    for (let number = 1; ; number++) {
      this.log.progress(step.name, { state: 'running', attempt: number });
      const outcome = await attempt(() => this.guarded(step, isRegistered, approval));
      if (outcome.ok) {
        if (step.settles === true) this.settle();
        this.log.progress(step.name, { state: 'done' });
        return outcome.value;
      }
      this.mayEnd(step, outcome.error);
      const decision = await this.stuck(step, number, outcome.error);
      if (decision.message === 'skip' && step.skip !== undefined) return step.skip.value;
    }
  }

  /** The guard looks right before every attempt: a person may have taken hours to decide. */
  private async guarded<T>(
    step: Step<T>,
    isRegistered: { undo: boolean },
    approval: Decision | null,
  ): Promise<T> {
    await this.check?.();
    this.mustGoOn();
    if (!isRegistered.undo) {
      isRegistered.undo = true;
      if (step.settles === true && step.undo === undefined) this.settle();
      if (step.undo !== undefined) {
        const { does, run, always = false } = step.undo;
        this.registered.push({ step: step.name, does, run, always });
      }
    }
    return step.run(approval);
  }

  private async approved<T>(step: Step<T>, danger: string): Promise<Decision> {
    const given = this.approvals[step.name];
    if (given !== undefined) {
      const decision: Decision = { message: 'approve', ...given, step: step.name, at: now() };
      this.log.record(decision);
      return decision;
    }
    return this.ask(step, 'waiting', {
      state: 'waiting for approval',
      danger,
      skip: step.skip?.means ?? null,
    });
  }

  private stuck<T>(step: Step<T>, number: number, error: unknown): Promise<Decision> {
    const { text: problem, kind } = problemOf(error);
    const skip = step.skip?.means ?? null;
    return this.ask(step, 'stuck', { state: 'stuck', attempt: number, problem, kind, skip });
  }

  private async ask<T>(
    step: Step<T>,
    status: 'waiting' | 'stuck',
    progress: StepProgress,
  ): Promise<Decision> {
    this.control.expect();
    this.log.progress(step.name, progress);
    this.log.become(status);
    try {
      return await this.control.decision();
    } catch (error) {
      this.mayEnd(step, error);
      throw error;
    }
  }

  /** Throws when a failure, or a cancellation, ends the runbook rather than making it stuck. */
  private mayEnd<T>(step: Step<T>, error: unknown): void {
    const inner = CancellationScope.current();
    if (this.scope.consideredCancelled) {
      this.end({ how: 'cancelled' });
    } else if (inner.consideredCancelled) {
      this.log.progress(step.name, { state: 'stopped', why: 'The procedure itself stopped it.' });
      throw error;
    } else if (isOwnershipLost(error)) {
      this.end({ how: 'preempted', error });
    } else if (step.preflight === true && problemOf(error).refusal) {
      this.end({ how: 'refused', step: step.name, error });
    }
    if (this.ending === null) return;
    this.log.progress(step.name, { state: 'stopped', why: whyStopped(this.ending) });
    throw new RunbookEnds(this.ending);
  }

  private mustGoOn(): void {
    if (this.scope.consideredCancelled) this.end({ how: 'cancelled' });
    if (this.ending !== null) throw new RunbookEnds(this.ending);
  }

  /** What was done so far stays; only what must be given back in any case can still be undone. */
  private settle(): void {
    this.registered.splice(0, this.registered.length, ...this.registered.filter(({ always }) => always));
  }
}

function whyStopped(ending: Ending): string {
  switch (ending.how) {
    case 'aborted':
      return `Aborted by ${ending.decision.by}: ${ending.decision.reason}`;
    case 'cancelled':
      return 'The workflow was cancelled.';
    case 'preempted':
    case 'refused':
    case 'failed':
      return problemOf(ending.error).text;
  }
}
