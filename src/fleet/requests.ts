/** The argument of each workflow type: one JSON object. `checkRequest` (requestSchemas.ts) validates it first. */

import type { Approvals } from './runbook.js';

export interface ProvisionServerRequest {
  readonly server: string;
  readonly approved?: Approvals;
}

/** How a follower gets its data, in the order of what spares the leader most. */
export const BRING_UP_WAYS = ['own-files', 'backup', 'chain', 'full'] as const;
export type BringUpWay = (typeof BRING_UP_WAYS)[number];

export interface BringUpFollowerRequest {
  readonly database: string;
  /** Where the follower shall run. Default: where the record has it, else the leader's partner host. */
  readonly host?: string;
  /** An RDB file on that host. */
  readonly backup?: { readonly file: string };
  /** Only this way; default: the first that is possible. */
  readonly way?: BringUpWay;
  /** Approvals given beforehand, by step name. */
  readonly approved?: Approvals;
}

export interface RequestByType {
  readonly provisionServer: ProvisionServerRequest;
  readonly bringUpFollower: BringUpFollowerRequest;
}
