/** Keeps a process of this host from taking writes: by command, and when it does not obey, by SIGKILL. */

import type { Fenced } from '../activities/fenceContract.js';
import { FleetError } from '../fleet/errors.js';
import type { Endpoint } from '../fleet/record.js';
import type { RedisProcesses } from './processes.js';
import type { HostSettings } from './settings.js';

export interface Fencing {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly database: string;
  readonly endpoint: Endpoint;
  readonly obeyWithinMs: number;
}

export function fence({ database }: Fencing): Promise<Fenced> {
  throw new FleetError('InvalidRequest', `Fencing ${database} is not there yet.`);
}
