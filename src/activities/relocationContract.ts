/** Plans relocations from what is known now. */

import type { Goal, PlannedMove, RelocationPlan } from '../fleet/relocation/plan.js';

export interface PlanRelocationsInput {
  readonly goal: Goal;
  /** Seconds. */
  readonly horizon?: number;
  readonly atOnce?: number;
  /** Bytes a second. */
  readonly bandwidth?: number;
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
