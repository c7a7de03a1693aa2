/** Calls for promotions: one for all leaders of a host that fail together, and never twice for the same failure. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { startRunbook } from '../../connections/startRunbook.js';
import type { StartedRunbook } from '../../connections/startRunbook.js';
import type { Log } from '../../connections/log.js';
import { messageOf } from '../../fleet/errors.js';
import { SEARCH_ATTRIBUTES, workflowId } from '../../fleet/names.js';
import type { DatabaseRecord } from '../../fleet/record.js';
import type { PromoteFollowerRequest } from '../../fleet/requests.js';
import type { PromotionAttempt } from '../../fleet/watching.js';
import { awaitEnd, type PromotionEnd } from './promotionEnd.js';

/** A host that dies takes its processes with it one after the other, within milliseconds. */
const GATHER_MS = 10;
/** As long as more leaders of the host are in doubt. */
const GATHER_AT_MOST_MS = 120;
/** Between two tries to reach Temporal. */
const RETRY_MS = 250;
const START_WITHIN_MS = 1_000;
const FIRST_BACKOFF_MS = 15_000;
const LONGEST_BACKOFF_MS = 120_000;
/** Whatever changed: not at every flicker. */
const LEAST_BACKOFF_MS = 2_000;
/** How long a promotion's change of the record may take to be seen here. */
const RECORD_SEEN_WITHIN_MS = 5_000;
const LONGEST_WHY = 900;
const SUFFIXES = ['', '-2', '-3', '-4', '-5'];

export interface PromotionsDependencies {
  readonly temporal: Client;
  readonly fleetName: string;
  readonly server: string;
  /** Workflow id of the watch. */
  readonly by: string;
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly signal: AbortSignal;
  readonly onChange: () => void;
  /** Whether other leaders of that host may be failing as well. */
  readonly isMoreInDoubt: (host: string, called: ReadonlySet<string>) => boolean;
}

export interface Call {
  readonly record: DatabaseRecord;
  readonly ask: boolean;
  readonly why: string;
  readonly fingerprint: string;
}

type Remembered =
  | { state: 'starting'; call: Call; workflowId: string; problem: string | null }
  | { state: 'running'; call: Call; workflowId: string }
  | {
      state: 'refused';
      call: Call;
      workflowId: string;
      why: string;
      endedAt: number;
      backoffMs: number | null;
    };

export class Promotions {
  readonly #remembered = new Map<string, Remembered>();
  readonly #gathering = new Set<string>();

  constructor(private readonly dependencies: PromotionsDependencies) {}

  /** @param now of the monotonic clock */
  attempt(database: string, now: number): PromotionAttempt | null {
    const found = this.#remembered.get(database);
    if (found === undefined) return null;
    const { workflowId: id } = found;
    switch (found.state) {
      case 'starting':
        return { state: 'starting', workflowId: id, problem: found.problem };
      case 'running':
        return { state: 'running', workflowId: id };
      case 'refused': {
        const { why, endedAt, backoffMs, call } = found;
        const againInMs = backoffMs === null ? null : Math.max(0, endedAt + backoffMs - now);
        return { state: 'refused', workflowId: id, why, fingerprint: call.fingerprint, againInMs };
      }
    }
  }

  /** The leader is another one, or it serves again. A promotion that runs is left to itself. */
  forget(database: string, { served }: { readonly served: boolean }): void {
    const found = this.#remembered.get(database);
    if (found === undefined || (served && found.state !== 'starting')) return;
    this.#remembered.delete(database);
  }

  /** What the watch before this one in the same worker knew. */
  inherit(from: Promotions): void {
    for (const [database, remembered] of from.#remembered) {
      if (remembered.state === 'refused') this.#remembered.set(database, remembered);
    }
  }

  /** Called again while it is under way, it changes nothing. */
  call(call: Call): void {
    const { database, leader } = call.record;
    const before = this.#remembered.get(database);
    if (before !== undefined && before.state !== 'refused') return;
    if (before?.state === 'refused' && performance.now() - before.endedAt < LEAST_BACKOFF_MS) return;
    const id = workflowId('promoteFollower', database);
    this.#failures.set(database, before?.state === 'refused' ? before : null);
    this.#remembered.set(database, { state: 'starting', call, workflowId: id, problem: null });
    if (this.#gathering.has(leader.host)) return;
    this.#gathering.add(leader.host);
    void this.#gather(leader.host);
  }

  /** The refusal before the attempt that is under way, for a longer pause after the next. */
  readonly #failures = new Map<string, (Remembered & { state: 'refused' }) | null>();

  async #gather(host: string): Promise<void> {
    const began = performance.now();
    try {
      do await sleep(GATHER_MS);
      while (
        performance.now() - began < GATHER_AT_MOST_MS &&
        this.dependencies.isMoreInDoubt(
          host,
          new Set(this.#startingOf(host).map(({ record }) => record.database)),
        )
      );
    } finally {
      this.#gathering.delete(host);
    }
    const calls = this.#startingOf(host);
    await Promise.all(
      [false, true].map((ask) =>
        this.#start(
          host,
          calls.filter((call) => call.ask === ask),
        ),
      ),
    );
  }

  #startingOf(host: string): Call[] {
    return [...this.#remembered.values()].flatMap((one) =>
      one.state === 'starting' && one.call.record.leader.host === host && !this.#underWay.has(one.call)
        ? [one.call]
        : [],
    );
  }

  readonly #underWay = new WeakSet<Call>();

  /** Tries until Temporal takes it, or nobody wants it any more. */
  async #start(host: string, all: readonly Call[]): Promise<void> {
    for (const call of all) this.#underWay.add(call);
    const { signal, log, onChange } = this.dependencies;
    const stopped = (): boolean => signal.aborted;
    for (let said = false; !stopped();) {
      const calls = all.filter((call) => this.#remembered.get(call.record.database)?.call === call);
      if (calls.length === 0) return;
      try {
        const started = await this.#startOnce(host, calls);
        this.#running(calls, started);
        return;
      } catch (error) {
        const problem = messageOf(error);
        if (!said) log.warn(`A promotion cannot be started yet: ${problem}`);
        said = true;
        for (const call of calls) {
          const id = workflowId('promoteFollower', call.record.database);
          this.#remembered.set(call.record.database, { state: 'starting', call, workflowId: id, problem });
        }
        onChange();
      }
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #startOnce(host: string, calls: readonly Call[]): Promise<StartedRunbook> {
    const { temporal, fleetName, server } = this.dependencies;
    const databases = calls.map(({ record }) => record.database);
    const request = this.#request(host, calls, databases);
    const [first = host] = databases;
    const name = databases.length === 1 ? first : host;
    const subject = { fleet: fleetName, servers: [server], databases, hosts: [host] };
    for (const suffix of SUFFIXES) {
      const started = await temporal.withDeadline(Date.now() + START_WITHIN_MS, async () => {
        const found = await startRunbook(temporal, 'promoteFollower', `${name}${suffix}`, request, subject);
        return !found.wasRunning || (await this.#covers(found, databases)) ? found : null;
      });
      if (started !== null) return started;
    }
    throw new Error(
      `${workflowId('promoteFollower', name)} and ${String(SUFFIXES.length - 1)} more run already.`,
    );
  }

  #request(host: string, calls: readonly Call[], databases: readonly string[]): PromoteFollowerRequest {
    const [first, ...more] = databases;
    const why = Object.fromEntries(
      calls.map((call) => [call.record.database, call.why.slice(0, LONGEST_WHY)]),
    );
    return {
      ...(first !== undefined && more.length === 0 ? { database: first } : { databases }),
      expectedLeader: host,
      detected: { by: this.dependencies.by, why },
      ...(calls.some(({ ask }) => ask) ? { ask: true } : {}),
    };
  }

  /** Whether a runbook that runs already is about these. */
  async #covers({ workflowId: id, runId }: StartedRunbook, databases: readonly string[]): Promise<boolean> {
    const { temporal } = this.dependencies;
    const key = defineSearchAttributeKey('RedisDatabase', SEARCH_ATTRIBUTES.RedisDatabase);
    const { typedSearchAttributes } = await temporal.workflow.getHandle(id, runId).describe();
    const about = new Set(typedSearchAttributes.get(key) ?? []);
    return databases.every((database) => about.has(database));
  }

  #running(calls: readonly Call[], started: StartedRunbook): void {
    const { log, onChange, temporal, signal } = this.dependencies;
    const names = calls.map(({ record }) => record.database).join(', ');
    log.info(`${started.workflowId} ${started.wasRunning ? 'runs already' : 'is started'} for ${names}.`);
    for (const call of calls) {
      this.#remembered.set(call.record.database, { state: 'running', call, workflowId: started.workflowId });
    }
    onChange();
    void awaitEnd(temporal, started, signal).then((end) => {
      if (end !== null) this.#ended(calls, started.workflowId, end);
    });
  }

  #ended(calls: readonly Call[], id: string, end: PromotionEnd): void {
    const { log, onChange } = this.dependencies;
    for (const call of calls) {
      const { database } = call.record;
      // The record may have changed already: then it is forgotten.
      if (this.#remembered.get(database)?.call !== call) continue;
      const why = end.refusals.get(database) ?? end.problem;
      if (why === null) {
        setTimeout(() => {
          if (this.#remembered.get(database)?.call === call) this.#remembered.delete(database);
        }, RECORD_SEEN_WITHIN_MS).unref();
        continue;
      }
      const before = this.#failures.get(database) ?? null;
      const same = before?.call.fingerprint === call.fingerprint;
      const backoffMs = end.byPerson
        ? null
        : same
          ? Math.min((before.backoffMs ?? FIRST_BACKOFF_MS) * 2, LONGEST_BACKOFF_MS)
          : FIRST_BACKOFF_MS;
      log.warn(`${id} did not promote ${database}: ${why}`);
      const endedAt = performance.now();
      this.#remembered.set(database, { state: 'refused', call, workflowId: id, why, endedAt, backoffMs });
    }
    onChange();
  }
}
