/** The clients of one measurement, and what they saw of it. */

import { FleetError } from '../../fleet/errors.js';
import { now, startTraffic, type Traffic } from '../../testbed/traffic.js';
import type { StreamFigures, StreamOptions } from '../../testbed/trafficContract.js';
import { pause, waitFor } from '../../testbed/waiting.js';
import { showAddress, type Stage, type SystemName } from './stage.js';

export interface Observation {
  readonly system: SystemName;
  /** Between two acknowledged writes of the client that follows the leader. Milliseconds. */
  readonly outageMs: number;
  readonly acknowledged: number;
  /** Acknowledged to the client that follows, and not at the leader in the end. */
  readonly lost: number;
  /** The same for the client that stays with the old leader, or is shut in with it. */
  readonly lostStaying: number;
  /** When the old leader acknowledged the other client's last write, in milliseconds since the event; 0: none. */
  readonly stayedUntilMs: number;
  /** Acknowledged to any of them by the old leader after the change of leader was made known. */
  readonly stale: number;
  /** Until what, in milliseconds since the event. */
  readonly phases: Readonly<Record<string, number>>;
}

export interface ClientOptions {
  /** Of the client that follows. Default 1000 writes a second. */
  readonly rate?: number | 'full';
  readonly inFlight?: number;
  /** Where the client that stays is: with a connection of its own, or in the leader's zone and finding it as the other. */
  readonly staying?: 'connected' | 'shut in' | 'nobody';
}

/** Enough to see a gap of some milliseconds, and so few that two cores have time for everything else. */
const RATE = 1000;
const RATE_STAYING = 500;
const IN_FLIGHT = 64;
const FLOWS_WITHIN_MS = 20_000;
const FLOWS_FOR_MS = 1000;
const ANSWERS_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 50;

export class Clients {
  readonly #stage: Stage;
  readonly #follows: Traffic;
  readonly #stays: Traffic | null;

  private constructor(stage: Stage, follows: Traffic, stays: Traffic | null) {
    this.#stage = stage;
    this.#follows = follows;
    this.#stays = stays;
  }

  /** Returns when all of them write. @throws Unreachable */
  static async start(stage: Stage, options: ClientOptions = {}): Promise<Clients> {
    const { staying = 'connected' } = options;
    const stream: StreamOptions = {
      name: stage.database,
      route: stage.route,
      login: stage.login,
      rate: options.rate ?? RATE,
      inFlight: options.inFlight ?? IN_FLIGHT,
    };
    const follows = await startTraffic([stream]);
    const stays =
      staying === 'nobody'
        ? null
        : await startTraffic(
            [
              {
                ...stream,
                rate: RATE_STAYING,
                inFlight: IN_FLIGHT,
                ...(staying === 'connected'
                  ? { route: { by: 'address' as const, ...addressOf(stage.leader) } }
                  : {}),
              },
            ],
            staying === 'shut in' && stage.zones ? stage.zones.enter('az-a') : [],
          );
    const clients = new Clients(stage, follows, stays);
    try {
      await clients.#flow();
      return clients;
    } catch (error) {
      clients.end();
      throw error;
    }
  }

  /**
   * Waits until the client that follows was acknowledged a write by another process than the old leader. One that never
   * is shows in the figures: its outage has not ended.
   */
  async moved(since: number, deadlineMs: number): Promise<void> {
    const old = showAddress(this.#stage.leader);
    await this.#until(since, deadlineMs, ({ by }) => Object.keys(by).some((server) => server !== old));
  }

  /** The same for a write that is acknowledged by anybody. */
  async writesAgain(since: number, deadlineMs: number): Promise<void> {
    await this.#until(since, deadlineMs, ({ acknowledged }) => acknowledged > 0);
  }

  follower(window: { readonly from: number; readonly to?: number }): Promise<StreamFigures> {
    return this.#follows.figures(window).then(only);
  }

  /** Ends the writing and looks at the leader for all that was acknowledged. */
  async finish(since: number): Promise<Observation> {
    const { system, login, leader } = this.#stage;
    const all = [this.#follows, ...(this.#stays ? [this.#stays] : [])];
    const to = now();
    await Promise.all(all.map((traffic) => traffic.stop()));
    const figures = only(await this.#follows.figures({ from: since, to }));
    const changed = this.#stage.changedAt();
    const stale =
      changed === null ? [] : await Promise.all(all.map((one) => one.figures({ from: changed, to })));
    const stayed = this.#stays
      ? only(await this.#stays.figures({ from: since, to })).by[showAddress(leader)]
      : null;
    const where = await this.#leader();
    const [lost, lostStaying] = await Promise.all(all.map((one) => one.verify(0, where, login)));
    return {
      system,
      outageMs: figures.longestGapMs,
      acknowledged: (lost?.acknowledged ?? 0) + (lostStaying?.acknowledged ?? 0),
      lost: lost?.lost ?? 0,
      lostStaying: lostStaying?.lost ?? 0,
      stayedUntilMs: stayed ? stayed.last - since : 0,
      stale: stale.flat().reduce((sum, { by }) => sum + (by[showAddress(leader)]?.count ?? 0), 0),
      phases: { ...(await this.#stage.phases(since)), 'client writes again': figures.gap.to - since },
    };
  }

  end(): void {
    this.#follows.end();
    this.#stays?.end();
  }

  async #until(since: number, deadlineMs: number, holds: (figures: StreamFigures) => boolean): Promise<void> {
    const deadline = now() + deadlineMs;
    while (!holds(only(await this.#follows.figures({ from: since }))) && now() < deadline)
      await pause(LOOK_EVERY_MS);
  }

  async #flow(): Promise<void> {
    const from = now();
    await waitFor(
      async () => {
        const all = [this.#follows, ...(this.#stays ? [this.#stays] : [])];
        const seen = await Promise.all(all.map((one) => one.figures({ from: from + FLOWS_FOR_MS })));
        return seen.flat().every(({ acknowledged }) => acknowledged > 0);
      },
      { deadlineMs: FLOWS_WITHIN_MS, what: `clients of ${this.#stage.system} to write` },
    );
  }

  async #leader() {
    return waitFor(() => this.#stage.leaderNow(), {
      deadlineMs: ANSWERS_WITHIN_MS,
      what: `the leader of ${this.#stage.database}`,
    });
  }
}

function addressOf({ address, port }: Stage['leader']) {
  return { address, port };
}

function only(figures: readonly StreamFigures[]): StreamFigures {
  const [first] = figures;
  if (first === undefined) throw new FleetError('NotFound', 'There is no client.');
  return first;
}
