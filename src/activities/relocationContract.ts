/** Plans relocations from what is known now. */

import type { Goal, PlannedMove, RelocationPlan } from '../fleet/relocation/plan.js';
import type { RequestedOptions } from '../fleet/relocation/requested.js';

export interface PlanRelocationsInput extends RequestedOptions {
  readonly goal: Goal;
  /** Moves that have begun. */
  readonly underWay: readonly PlannedMove[];
  /** Databases that are to be left where they are. */
  readonly leave: readonly string[];
  /** Moves that have just ended: it is waited, not for long, until the agents have seen that. */
  readonly ended: readonly PlannedMove[];
}

export interface RelocationActivities {
  /** Changes nothing. */
  planRelocations(input: PlanRelocationsInput): Promise<RelocationPlan>;
}
