import type { Endpoint } from '../fleet/record.js';

/** How a process was kept from taking writes. */
export type Fenced =
  /** It did not run. */
  | 'gone'
  /** It obeyed: it follows nobody, and takes no writes. */
  | 'demoted'
  /** It did not obey in time, and was killed. */
  | 'killed';

/** On `host/<host>`. */
export interface FenceActivities {
  /**
   * Makes sure that a process of this host takes no writes any more: by command, and when it does not obey within
   * `obeyWithinMs`, by SIGKILL. Its data file stays. It is not undone by itself.
   */
  fenceProcess(input: { database: string; endpoint: Endpoint; obeyWithinMs: number }): Promise<Fenced>;
}
