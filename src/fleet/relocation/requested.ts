/** What somebody asks for, in the planner's words. Pure. */

import type { RelocateDatabasesRequest } from '../requests.js';
import { DEFAULT_OPTIONS } from './plan.js';
import type { Goal, PlannerOptions } from './plan.js';

export type RequestedOptions = Partial<
  Pick<PlannerOptions, 'horizon' | 'atOnce' | 'bandwidth' | 'pauseWrites'>
>;

export function goalOf({ host, drain }: Pick<RelocateDatabasesRequest, 'host' | 'drain'>): Goal {
  if (host !== undefined) return { kind: 'relieve', hosts: [host] };
  return drain === undefined ? { kind: 'rebalance' } : { kind: 'drain', host: drain };
}

/** What it leaves out stays the planner's default. No copy is planned with more bandwidth than a network is taken to have. */
export function optionsOf({
  horizon,
  atOnce,
  bandwidth,
  pauseWrites,
}: Pick<RelocateDatabasesRequest, keyof RequestedOptions>): RequestedOptions {
  return {
    ...(horizon === undefined ? {} : { horizon }),
    ...(atOnce === undefined ? {} : { atOnce }),
    ...(bandwidth === undefined ? {} : { bandwidth: Math.min(bandwidth, DEFAULT_OPTIONS.bandwidth) }),
    ...(pauseWrites === undefined ? {} : { pauseWrites: pauseWrites.seconds }),
  };
}
