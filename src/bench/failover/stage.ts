/** One database on one of the systems that are compared, ready for one measurement. */

import type { Address, Login } from '../../testbed/clients.js';
import type { Route } from '../../testbed/trafficContract.js';
import type { Zones } from '../../testbed/zones.js';

export type SystemName = 'ours' | 'Sentinel' | 'script';

export interface Stage {
  readonly system: SystemName;
  readonly database: string;
  readonly leader: Address;
  readonly follower: Address;
  /** Of applications. */
  readonly login: Login;
  /** Of a client that follows the leader. */
  readonly route: Route;
  /** null where the machine has only one. */
  readonly zones: Zones | null;
  /** Of the leader's process as it was at the start. @throws NotFound */
  leaderPid(): number;
  /** When the change of leader was made known, in milliseconds of `now()`; null: not yet. */
  changedAt(): number | null;
  /** Whom clients shall write to now. */
  leaderNow(): Promise<Address>;
  /** Hands over to the follower, as planned. */
  switchOver(): Promise<void>;
  /** Starts the leader's process again without its data, as somebody's process manager would. */
  restartEmpty(): void;
  /** What took how long since then, in milliseconds, as far as the system can say. */
  phases(since: number): Promise<Readonly<Record<string, number>>>;
  /** Lets go of what was made for this measurement. */
  end(): Promise<void>;
}

/** Makes stages, one for each measurement. */
export interface System {
  readonly name: SystemName;
  stage(): Promise<Stage>;
  stop(): Promise<void>;
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.address === b.address && a.port === b.port;
}

export function showAddress({ address, port }: Address): string {
  return `${address}:${port}`;
}
