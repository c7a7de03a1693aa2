/** The single right to fork a large process on a host now. */

import { performance } from 'node:perf_hooks';
import { Context } from '@temporalio/activity';
import { FleetError } from '../fleet/errors.js';
import { mayTakePermit, sameRun } from '../fleet/ownership.js';
import type { Verdict } from '../fleet/ownership.js';
import type { ForkPermit } from '../fleet/record.js';
import { ABSENT } from '../records/kv.js';
import type { PermitStore, StoredPermit } from '../records/permits.js';
import type { RecordActivities } from './contracts.js';
import { callingWorkflow } from './owner.js';
import type { AskOwnerState } from './owner.js';

const LOOK_AGAIN_MS = 500;

export function permitActivities({
  permits,
  askOwnerState,
}: {
  readonly permits: PermitStore;
  readonly askOwnerState: AskOwnerState;
}): Pick<RecordActivities, 'acquireForkPermit' | 'releaseForkPermit'> {
  async function judge(host: string, held: StoredPermit | null, wanted: ForkPermit): Promise<Verdict> {
    const holder = held?.permit.operation;
    const state = holder && !sameRun(holder, wanted.operation) ? await askOwnerState(holder) : 'running';
    return mayTakePermit(host, holder, wanted.operation, state);
  }

  return {
    async acquireForkPermit({ host, database, reason, waitMs }) {
      const { operation } = callingWorkflow('planned');
      const wanted: ForkPermit = { host, database, reason, operation };
      const end = performance.now() + waitMs;
      for (;;) {
        const held = await permits.read(host);
        const verdict = await judge(host, held, wanted);
        if (verdict.may) {
          if (await permits.compareAndSet(wanted, held?.modifyIndex ?? ABSENT)) return;
          continue;
        }
        if (performance.now() >= end) {
          throw new FleetError(
            'PermitHeld',
            `${verdict.why} It forks ${held?.permit.database ?? 'a database'}: ${held?.permit.reason ?? 'no reason given'}. ` +
              `Waited ${Math.round(waitMs / 1000)} s; nothing was forked for ${database}. ` +
              `Look at it with \`redis-fleet runbook show ${held?.permit.operation.workflowId ?? ''}\`, and retry when it is done.`,
          );
        }
        await Context.current().sleep(Math.min(LOOK_AGAIN_MS, Math.max(1, end - performance.now())));
      }
    },

    async releaseForkPermit({ host }) {
      const { operation } = callingWorkflow();
      for (;;) {
        const held = await permits.read(host);
        if (!held || !sameRun(held.permit.operation, operation)) return;
        if (await permits.compareAndDelete(host, held.modifyIndex)) return;
      }
    },
  };
}
