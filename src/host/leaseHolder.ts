/** Takes and renews the lease of a host, by compare-and-set alone. */

import { FleetError } from '../fleet/errors.js';
import type { HostLease } from '../fleet/lease.js';
import { ABSENT } from '../records/kv.js';
import type { LeaseStore } from '../records/leases.js';
import type { Clock } from './leaseClock.js';

export type LeaseContent = Pick<HostLease, 'ttl' | 'processes' | 'leaders'>;

export interface Held {
  readonly term: number;
  /** The lease that this term replaced had been broken. */
  readonly afterBreak: boolean;
  /** By our clock, before the last successful renewal was sent. */
  readonly sentAt: number;
  /** The least that a document which may stand in Consul grants. Milliseconds. */
  readonly ttl: number;
}

export interface LeaseHolder {
  /** null: never held by this run of the agent. It may have run out, or been broken, since. */
  held(): Held | null;
  /**
   * Renews, or takes a new term where the lease is not ours any more. Never called twice at the same time.
   * @param content read just before it is sent
   * @throws FleetError Unreachable: it may have been renewed all the same
   */
  renew(content: () => LeaseContent): Promise<void>;
  /** Says in good order that nobody renews any more. */
  leave(content: () => LeaseContent): Promise<void>;
}

export interface LeaseHolderDependencies {
  readonly host: string;
  /** One run of the agent: a random text. */
  readonly agent: string;
  readonly leases: LeaseStore;
  readonly clock: Clock;
  readonly timeoutMs: () => number;
  /** A new term was taken, from whom. */
  readonly onTaken: (term: number, from: HostLease | null) => void;
}

/** Somebody else writes the same key: an older run of the agent that is still ending, at most. */
const TRIES = 4;

export function leaseHolder(dependencies: LeaseHolderDependencies): LeaseHolder {
  const { host, agent, leases, clock, timeoutMs, onTaken } = dependencies;
  let held: Held | null = null;
  /** Where the document stands, when it surely is ours. */
  let at: { term: number; renewal: number; index: number } | null = null;
  /** Granted by writes of which we do not know whether they happened. */
  let pendingTtl = Infinity;

  interface Start {
    readonly term: number;
    readonly renewal: number;
    readonly index: number;
    /** Whose lease a new term replaces. */
    readonly from: HostLease | null;
  }

  /** Where the next write must begin. */
  async function look(): Promise<Start> {
    const found = await leases.readOwn(host, timeoutMs());
    const lease = found?.lease ?? null;
    const index = found?.modifyIndex ?? ABSENT;
    const ours =
      lease !== null && lease.agent === agent && lease.broken === undefined && lease.left === undefined;
    if (ours && lease.term === held?.term)
      return { term: lease.term, renewal: lease.renewal, index, from: null };
    const before = Math.max(lease?.term ?? 0, held?.term ?? 0);
    return { term: before + 1, renewal: 0, index, from: lease };
  }

  async function write(content: () => LeaseContent, left: boolean): Promise<void> {
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      const from: Start = at === null ? await look() : { ...at, from: null };
      at = null;
      const next = { term: from.term, renewal: from.renewal + 1 };
      const sentAt = clock();
      const lease: HostLease = {
        host,
        agent,
        ...next,
        ...content(),
        ...(left ? { left } : {}),
        at: new Date().toISOString(),
      };
      pendingTtl = Math.min(pendingTtl, lease.ttl);
      const index = await leases.renew(lease, from.index, timeoutMs());
      if (index === null) continue;
      const afterBreak = held?.term === next.term ? held.afterBreak : from.from?.broken !== undefined;
      if (held?.term !== next.term) onTaken(next.term, from.from);
      held = { term: next.term, afterBreak, sentAt, ttl: lease.ttl };
      pendingTtl = Infinity;
      at = { ...next, index };
      return;
    }
    throw new FleetError(
      'Unreachable',
      `The lease of ${host} was changed by somebody else ${TRIES} times while it was being renewed. Does a second agent ` +
        `of ${host} run? See who writes it with \`consul kv get ${leases.key(host)}\`.`,
    );
  }

  return {
    held: () => (held === null ? null : { ...held, ttl: Math.min(held.ttl, pendingTtl) }),
    renew: (content) => write(content, false),
    leave: (content) => write(content, true),
  };
}
