/**
 * Looks at the memory of a server's hosts and calls for a relocation when it is an alarm. It remembers nothing: whether
 * one runs, or ran, Temporal knows, so that another worker goes on where this one was.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { Log } from '../../connections/log.js';
import { messageOf } from '../../fleet/errors.js';
import type { Fleet, Server } from '../../fleet/fleet.js';
import { forecastFleet } from '../../fleet/relocation/forecast.js';
import { relocationState, type Observed } from '../../fleet/relocation/observed.js';
import { decideRelocation, type LastRelocation, type RelocationCall } from '../../fleet/relocationCall.js';
import { isFresh } from '../../fleet/reportAge.js';

const LOOK_EVERY_MS = 15_000;
const ANSWER_WITHIN_MS = 2_000;

export interface MemoryWatchDependencies {
  readonly server: string;
  /** As it was applied; null: not known now. */
  readonly fleet: () => Fleet | null;
  readonly observe: () => Promise<Omit<Observed, 'fleet' | 'now'>>;
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
    const fleet = this.dependencies.fleet();
    const server = fleet?.servers.find(({ name }) => name === this.dependencies.server);
    if (fleet === null || server === undefined) return null;
    const observed = await this.dependencies.observe();
    const forecasts = forecastFleet(relocationState({ ...observed, fleet, now })).filter(
      ({ host }) =>
        isOn(server, host) && observed.reports.some((one) => one.host === host && isFresh(one, now)),
    );
    const last = new Map<string, LastRelocation>();
    const quick = decideRelocation({ forecasts, last, settings: fleet.relocation, now });
    // Temporal is asked only when something is amiss.
    if (!quick.call) return this.#told(quick);
    for (const { name } of server.hosts) last.set(name, await this.#lastOf(name));
    const call = decideRelocation({ forecasts, last, settings: fleet.relocation, now });
    if (call.call) await this.dependencies.start(call);
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

function isOn({ hosts }: Server, name: string): boolean {
  return hosts.some((host) => host.name === name);
}
