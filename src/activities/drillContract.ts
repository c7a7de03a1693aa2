import type { DrillPlan, DrillRecord } from '../fleet/drills.js';
import type { DrillBackupsRequest } from '../fleet/requests.js';
import type { BackupsOf } from './restoreContract.js';

/** What a drill on a host found. */
export type DrillOutcome =
  | ({ readonly how: 'drilled' } & Omit<DrillRecord, 'lastPassed'>)
  /** Nothing can be said about a backup. */
  | { readonly how: 'left'; readonly database: string; readonly why: string };

/** On the control queue. */
export interface DrillActivities {
  /** @throws NotFound */
  planDrills(input: { request: DrillBackupsRequest }): Promise<DrillPlan & { readonly store: string }>;
  recordDrill(input: { drill: Extract<DrillOutcome, { how: 'drilled' }> }): Promise<DrillRecord>;
}

/** On `host/<host>`. */
export interface DrillHostActivities {
  /**
   * Restores the newest verified backup into a process of its own, which nobody can reach from outside and nobody
   * follows, compares what it holds with what is known of the backup, and removes all of it again. What an attempt that
   * was killed left is removed first. One at a time on a host. `needs`: memory, in bytes.
   * @throws Unreachable, DiskFull
   */
  drillHere(input: BackupsOf & { readonly needs: number }): Promise<DrillOutcome>;
}
