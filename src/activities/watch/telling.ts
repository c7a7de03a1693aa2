/** Tells others what the watch sees: Consul at every change and now and then, its workflow what a person cares for. */

import type { Log } from '../../connections/log.js';
import { messageOf } from '../../fleet/errors.js';
import type { WatchedDatabase, WatchView } from '../../fleet/watchView.js';
import { WATCH_PUBLISHED_EVERY_MS } from '../../fleet/watchView.js';
import type { WatchStore } from '../../records/watches.js';

export interface TellingDependencies {
  readonly watches: WatchStore;
  /** To the watch's own workflow. */
  readonly signal: (view: WatchView) => Promise<void>;
  readonly log: Pick<Log, 'warn'>;
}

/** Changes in between are told together. */
const LOOK_AT_MOST_EVERY_MS = 100;
/** Ages and small changes. */
const LOOK_AT_LEAST_EVERY_MS = 1_000;
const SIGNAL_AT_MOST_EVERY_MS = 1_000;
/** A doubt that passes by itself is nobody's business. */
const LASTING_DOUBT_MS = 2_000;

export class Telling {
  #published = '';
  #publishedAt = -Infinity;
  #lookedAt = -Infinity;
  #changed = true;
  #publishing = false;
  #signalled = '';
  #signalledAt = -Infinity;
  #signalling = false;

  constructor(private readonly dependencies: TellingDependencies) {}

  /**
   * @param now of the monotonic clock
   * @param changed a verdict, or what is done
   */
  tell(now: number, changed: boolean, view: () => WatchView): void {
    this.#changed ||= changed;
    const sinceLook = now - this.#lookedAt;
    if (sinceLook < (this.#changed ? LOOK_AT_MOST_EVERY_MS : LOOK_AT_LEAST_EVERY_MS)) return;
    this.#changed = false;
    this.#lookedAt = now;
    const sincePublished = now - this.#publishedAt;
    const seen = view();
    const facts = factsOf(seen);
    if (!this.#publishing && (facts !== this.#published || sincePublished >= WATCH_PUBLISHED_EVERY_MS)) {
      this.#publishedAt = now;
      void this.#publish(seen, facts);
    }
    const news = newsOf(seen);
    if (!this.#signalling && news !== this.#signalled && now - this.#signalledAt >= SIGNAL_AT_MOST_EVERY_MS) {
      this.#signalledAt = now;
      void this.#signal(seen, news);
    }
  }

  async #publish(view: WatchView, facts: string): Promise<void> {
    this.#publishing = true;
    try {
      await this.dependencies.watches.publish(view);
      this.#published = facts;
    } catch {
      // Consul is away: whoever follows it says so, and this is tried again.
    } finally {
      this.#publishing = false;
    }
  }

  async #signal(view: WatchView, news: string): Promise<void> {
    this.#signalling = true;
    try {
      await this.dependencies.signal(view);
      // It told of a doubt that may pass without being news: then that it passed is told, too.
      this.#signalled = view.databases.some((one) => isBriefDoubt(one, view.at)) ? '' : news;
    } catch (error) {
      this.dependencies.log.warn(`The workflow ${view.workflowId} could not be told: ${messageOf(error)}`);
    } finally {
      this.#signalling = false;
    }
  }
}

/** What makes a view another one: not the ages in it. */
function factsOf({ problems, databases }: WatchView): string {
  return JSON.stringify([
    problems,
    databases.map(({ sightings, decision, attempt, ...rest }) => [
      rest,
      decision.act,
      attempt?.state ?? null,
      sightings.control.seen,
      sightings.lease.state,
      sightings.fromFollowerHost,
      sightings.followerLink?.up ?? null,
    ]),
  ]);
}

function isBriefDoubt({ verdict, since }: Pick<WatchedDatabase, 'verdict' | 'since'>, at: string): boolean {
  return verdict.state === 'doubted' && Date.parse(at) - Date.parse(since) < LASTING_DOUBT_MS;
}

function newsOf({ at, problems, databases }: WatchView): string {
  return JSON.stringify([
    problems.length > 0,
    databases.map(({ database, epoch, leader, verdict, since, decision, attempt, maintenance, policy }) => {
      const state = isBriefDoubt({ verdict, since }, at) ? 'well' : verdict.state;
      const done = state === 'failed' ? [decision.act, attempt?.state, attempt?.workflowId] : null;
      return [database, epoch, leader.host, state, done, maintenance?.name ?? null, policy];
    }),
  ]);
}
