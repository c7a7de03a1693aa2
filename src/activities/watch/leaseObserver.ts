/** One host's lease as somebody sees it who may have to wait it out. Counts on a monotonic clock, from what it saw. */

import type { FleetError } from '../../fleet/errors.js';
import { messageOf } from '../../fleet/errors.js';
import type { LeaseSighting } from '../../fleet/failure.js';
import { LEASE_MARGIN } from '../../fleet/lease.js';
import type { HostLease, StoredLease } from '../../fleet/lease.js';
import type { LeaseStore } from '../../records/leases.js';
import { steadily } from './steadily.js';

export interface LeaseObserverOptions {
  readonly host: string;
  readonly leases: LeaseStore;
  readonly onChange: () => void;
}

/** Longer than a healthy Consul ever takes. */
const CONFIRM_WITHIN_MS = 1_500;

export class LeaseObserver {
  readonly host: string;
  readonly #ending = new AbortController();
  #stored: StoredLease | null | undefined;
  /** After it was seen. */
  #seenAt = 0;
  /** Consul said that it is still as it was seen: when that was asked. */
  #confirmedAt: number | null = null;
  #confirming = false;
  #agentGone = false;
  #problem: string | null = null;

  constructor(private readonly options: LeaseObserverOptions) {
    this.host = options.host;
  }

  start(): void {
    const { leases, host } = this.options;
    void steadily(
      (signal, onProblem) => leases.watch(host, (stored) => this.#saw(stored), signal, onProblem),
      (problem) => this.#trouble(problem),
      this.#ending.signal,
    );
  }

  close(): void {
    this.#ending.abort();
  }

  /** A sentence while Consul does not say how the lease is. */
  get problem(): string | null {
    return this.#problem;
  }

  /** While its agent renews it. */
  fresh(now: number): HostLease | null {
    return this.sighting(now, null).state === 'held' ? (this.#stored?.lease ?? null) : null;
  }

  /** @param database whose process's pulse is asked for */
  sighting(now: number, database: string | null): LeaseSighting {
    if (!this.#stored) return { state: 'nobody' };
    const { lease } = this.#stored;
    if (lease.left === true) return { state: 'nobody' };
    if (lease.broken !== undefined) return this.#agentGone ? { state: 'nobody' } : { state: 'ran out' };
    const overdue = now - this.#seenAt >= lease.ttl && this.#confirmedAt !== null;
    if (!overdue) {
      const pulse = database === null ? null : (lease.processes[database]?.pulse ?? null);
      return { state: 'held', pulse };
    }
    if (this.#agentGone) return { state: 'nobody' };
    return { state: 'running out', leftMs: Math.max(0, this.#seenAt + lease.ttl + LEASE_MARGIN - now) };
  }

  /** @param lastLedAt when a leader of this host was last seen leading */
  tick(now: number, lastLedAt: number | null): void {
    if (!this.#stored || this.#stored.lease.left === true) return;
    const { lease } = this.#stored;
    const ranOutAt =
      lease.broken === undefined ? this.#seenAt + lease.ttl + LEASE_MARGIN : this.#seenAt + lease.ttl;
    const late = lease.broken !== undefined || (this.#confirmedAt !== null && this.#confirmedAt >= ranOutAt);
    // A living agent would have fenced it by then.
    if (!this.#agentGone && late && lastLedAt !== null && lastLedAt > ranOutAt) {
      this.#agentGone = true;
      this.options.onChange();
    }
    if (lease.broken !== undefined || now - this.#seenAt < lease.ttl) return;
    if (this.#confirmedAt === null || now - this.#confirmedAt > lease.ttl / 3) void this.#confirm();
  }

  /**
   * Takes the right away from the host, when nobody has renewed it since it was waited out.
   * @returns false: its agent was first, it lives
   * @throws FleetError Unreachable
   */
  async break(by: string, why: string): Promise<boolean> {
    if (!this.#stored) return false;
    const { lease, modifyIndex } = this.#stored;
    const broken: HostLease = { ...lease, broken: { by, why } };
    const taken = await this.options.leases.compareAndSet(broken, modifyIndex);
    this.#saw(await this.options.leases.read(this.host));
    return taken;
  }

  #saw(stored: StoredLease | null): void {
    const before = this.#stored?.modifyIndex;
    this.#problem = null;
    // After an outage it is counted anew: nobody could renew meanwhile.
    this.#seenAt = performance.now();
    this.#confirmedAt = null;
    this.#stored = stored;
    if (before !== stored?.modifyIndex) {
      if (stored?.lease.broken === undefined) this.#agentGone = false;
      this.options.onChange();
    }
  }

  #trouble(problem: FleetError): void {
    this.#problem = problem.message;
    this.options.onChange();
  }

  /** A blocking query that says nothing may be one that Consul has forgotten: before anybody relies on it, ask. */
  async #confirm(): Promise<void> {
    if (this.#confirming) return;
    this.#confirming = true;
    const asked = performance.now();
    const before = this.#stored?.modifyIndex;
    try {
      const stored = await within(CONFIRM_WITHIN_MS, this.options.leases.read(this.host));
      if (this.#ending.signal.aborted || this.#stored?.modifyIndex !== before) return;
      if (stored?.modifyIndex !== before) this.#saw(stored);
      else if (this.#problem === null) this.#confirmedAt = asked;
      else this.#saw(stored);
    } catch (error) {
      this.#problem = messageOf(error);
    } finally {
      this.#confirming = false;
    }
    if (!this.#ending.signal.aborted) this.options.onChange();
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Consul gives no answer within ${ms / 1_000} s.`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
