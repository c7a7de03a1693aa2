/**
 * Looks at the memory of a server's hosts and calls for a relocation when it is an alarm. It remembers nothing: whether
 * one runs, or ran, Temporal knows, so that another worker goes on where this one was.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { Log } from '../../connections/log.js';
import { messageOf } from '../../fleet/errors.js';
import type { Server } from '../../fleet/fleet.js';
import { forecastFleet } from '../../fleet/relocation/forecast.js';
import { nearby } from '../../fleet/relocation/nearby.js';
import { relocationState, type Observed } from '../../fleet/relocation/observed.js';
import {
  decideRelocation,
  type LastRelocation,
  type RelocationCall,
  type RelocationSight,
} from '../../fleet/relocationCall.js';
import { isFresh } from '../../fleet/reportAge.js';
import type { Surroundings } from './surroundings.js';

const LOOK_EVERY_MS = 15_000;
const ANSWER_WITHIN_MS = 2_000;

export interface MemoryWatchDependencies {
  readonly server: string;
  readonly surroundings: Pick<Surroundings, 'known' | 'fleet' | 'records' | 'maintenance'>;
  /** Of these hosts alone. */
  readonly observe: (hosts: readonly string[]) => Promise<Pick<Observed, 'reports' | 'histories'>>;
  /** Of the whole fleet. */
  readonly observeAll: () => Promise<Omit<Observed, 'fleet' | 'now'>>;
  readonly temporal: Client;
  /** The id of the relocation of a host: only one of them runs. */
  readonly workflowIdOf: (host: string) => string;
  readonly start: (call: Extract<RelocationCall, { call: true }>) => Promise<void>;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

export class MemoryWatch {
  #said: string | null = null;

  constructor(private readonly dependencies: MemoryWatchDependencies) {}

  /** Until `signal` aborts. Nothing that befalls it ends a watch. */
  async run(signal: AbortSignal): Promise<void> {
    const stopped = (): boolean => signal.aborted;
    while (!stopped()) {
      try {
        await this.look(Date.now());
      } catch (error) {
        this.#say(`The memory of ${this.dependencies.server} could not be judged: ${messageOf(error)}`);
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @param now milliseconds since 1970 */
  async look(now: number): Promise<RelocationCall | null> {
    const { surroundings, observe, observeAll, start } = this.dependencies;
    const { known, fleet, records, maintenance } = surroundings;
    const server = fleet?.servers.find(({ name }) => name === this.dependencies.server);
    if (!known || fleet === null || server === undefined) return null;
    const { hosts, ...near } = nearby(server, fleet, records);
    const seen = judged(server, { ...near, ...(await observe(hosts)), maintenance, now });
    const last = new Map<string, LastRelocation>();
    const sight = { last, settings: fleet.relocation, now };
    const first = decideRelocation({ ...sight, forecasts: seen });
    // All else is asked only when something is amiss.
    if (!isAlarm(first)) return this.#told(first);
    // What forks of a database cost before it was moved here, its old hosts remember.
    const forecasts = judged(server, { ...(await observeAll()), fleet, now });
    const quick = decideRelocation({ ...sight, forecasts });
    if (!quick.call) return this.#told(quick);
    for (const { name } of server.hosts) last.set(name, await this.#lastOf(name));
    const call = decideRelocation({ ...sight, forecasts });
    if (call.call) await start(call);
    return this.#told(call);
  }

  async #lastOf(host: string): Promise<LastRelocation> {
    const { temporal, workflowIdOf } = this.dependencies;
    try {
      const { status, closeTime } = await temporal.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
        temporal.workflow.getHandle(workflowIdOf(host)).describe(),
      );
      if (status.name === 'RUNNING' || closeTime === undefined) return { state: 'running' };
      return { state: 'ended', endedAt: closeTime.getTime() };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return { state: 'none' };
      throw error;
    }
  }

  #told(call: RelocationCall): RelocationCall {
    if (call.call) this.#say(`A relocation of ${call.host} is started: ${call.why}`);
    else if (call.why === null) this.#said = null;
    else this.#say(call.why);
    return call;
  }

  /** Once for the same words, but for the figures in them. */
  #say(text: string): void {
    const plain = text.replaceAll(/[\d.]+/g, '#');
    if (plain === this.#said) return;
    this.#said = plain;
    this.dependencies.log.warn(text);
  }
}

/** What is to be expected of its hosts, where their agents have just told of them. */
function judged({ hosts }: Server, observed: Observed): RelocationSight['forecasts'] {
  return forecastFleet(relocationState(observed)).filter(
    ({ host }) =>
      hosts.some(({ name }) => name === host) &&
      observed.reports.some((one) => one.host === host && isFresh(one, observed.now)),
  );
}

function isAlarm(call: RelocationCall): boolean {
  return call.call || call.why !== null;
}
