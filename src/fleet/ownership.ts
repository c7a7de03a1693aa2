/** Who may take what from whom. Pure; whether an owner still lives is asked of Temporal by whoever calls. */

import type { Operation, Urgency } from './record.js';

/** Of the run that holds something: it runs, it ended, or Temporal knows nothing of it (any more). */
export type OwnerState = 'running' | 'closed' | 'gone';

/** Is `a` the very run that `b` is? A later run of the same workflow id is another owner. */
export function sameRun(a: Operation, b: Operation): boolean {
  return a.workflowId === b.workflowId && a.runId === b.runId;
}

const RANK: Readonly<Record<Urgency, number>> = { routine: 0, planned: 1, urgent: 2 };

export type Verdict =
  | { readonly may: true; readonly how: 'free' | 'own' | 'takeover' | 'preemption' }
  | { readonly may: false; readonly why: string };

/** Does the answer hang on whether the owner still lives? Otherwise nobody needs to ask Temporal. */
export function dependsOnOwnerState(owner: Operation | undefined, claimant: Operation): boolean {
  return owner !== undefined && !sameRun(owner, claimant) && RANK[claimant.urgency] <= RANK[owner.urgency];
}

/**
 * May `claimant` own what `owner` owns? Its own: yes. A dead owner's: yes. A less urgent one's: yes, and the other
 * notices at its next step. Equals never.
 * @param thing for the sentence: `database sessions-03`
 */
export function mayClaim(
  thing: string,
  owner: Operation | undefined,
  claimant: Operation,
  ownerState: OwnerState,
): Verdict {
  if (owner === undefined) return { may: true, how: 'free' };
  if (sameRun(owner, claimant)) return { may: true, how: 'own' };
  if (RANK[claimant.urgency] > RANK[owner.urgency]) return { may: true, how: 'preemption' };
  if (ownerState !== 'running') return { may: true, how: 'takeover' };
  return {
    may: false,
    why: `${owned(thing, owner)} Wait for it, or end it: \`redis-fleet runbook show ${owner.workflowId}\`.`,
  };
}

/** May `claimant` take a fork permit? A fork that runs cannot be preempted: only a dead holder loses it. */
export function mayTakePermit(
  host: string,
  holder: Operation | undefined,
  claimant: Operation,
  holderState: OwnerState,
): Verdict {
  if (holder === undefined) return { may: true, how: 'free' };
  if (sameRun(holder, claimant)) return { may: true, how: 'own' };
  if (holderState !== 'running') return { may: true, how: 'takeover' };
  return { may: false, why: owned(`the fork permit of host ${host}`, holder) };
}

function owned(thing: string, owner: Operation): string {
  const subject = thing.charAt(0).toUpperCase() + thing.slice(1);
  return `${subject} belongs to ${owner.workflowId} (${owner.type}, ${owner.urgency}, since ${owner.since}), which still runs.`;
}
