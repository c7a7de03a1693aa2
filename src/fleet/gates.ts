/**
 * What keeps a process from forking for a follower that nobody allowed.
 *
 * Gate A makes every request for a full synchronisation wait instead of fork: diskless, after a delay of 68 years.
 * Gate B covers what does not ask politely: the followers' user may PSYNC and never SYNC.
 * Both stand in every process's configuration from its first start; a runbook opens gate A for one named follower.
 */

import type { ProcessFacts, ReplicaLink } from './facts.js';
import type { Endpoint } from './record.js';

/** `CONFIG SET` names and values. */
export const GATE_A_SHUT = {
  'repl-diskless-sync': 'yes',
  'repl-diskless-sync-delay': '2147483647',
  'repl-diskless-sync-max-replicas': '0',
} as const;

/** With this delay the waiting follower is served at the next tick, within a second. */
export const GATE_A_OPEN_DELAY = '0';

/** Where a process that follows nobody is pointed at: a port where nobody listens. It keeps its data and its position. */
export const BLACK_HOLE = { address: '127.0.0.1', port: 1 } as const;

/** The user that followers log in with; its rules are gate B. */
export const REPLICATION_USER = 'replication';
export const REPLICATION_USER_RULES = [
  'resetkeys',
  'resetchannels',
  '-@all',
  '+ping',
  '+replconf',
  '+psync',
] as const;

/** Of a leader (or a chain's source): its link to one follower, which announces its own address and port. */
export function linkTo(facts: ProcessFacts, follower: Endpoint): ReplicaLink | null {
  return (
    facts.replicas.find(({ address, port }) => address === follower.address && port === follower.port) ?? null
  );
}

/** The followers that wait for a full synchronisation behind the gate, but for those named. */
export function othersWaiting(
  facts: ProcessFacts,
  ...followers: readonly Endpoint[]
): readonly ReplicaLink[] {
  return facts.replicas.filter(
    (link) =>
      link.state === 'wait_bgsave' &&
      followers.every(({ address, port }) => link.address !== address || link.port !== port),
  );
}

/** It has all that it was sent, and goes on with the stream. */
export function isSynchronised(facts: ProcessFacts, source: Pick<Endpoint, 'address' | 'port'>): boolean {
  return isPointedAt(facts, source) && facts.link?.up === true && !facts.link.synchronising && !facts.loading;
}

export function isPointedAt(facts: ProcessFacts, endpoint: Pick<Endpoint, 'address' | 'port'>): boolean {
  return facts.link !== null && facts.link.address === endpoint.address && facts.link.port === endpoint.port;
}
