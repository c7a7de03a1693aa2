/**
 * How the records of one connection's databases are followed: by a blocking query for each, or, where a client uses many
 * databases of a fleet, by one for all of them. When a host fails, its databases change together: sixty-four answers
 * cost Consul and the client many times what one costs, in the moment in which both have the most to do.
 */

import type { FleetConsul } from '../connections/consul.js';
import type { FleetError } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import { listEntries, readEntry, watchKey, watchPrefix, type Entry } from '../records/kv.js';

export interface FollowHandlers {
  /** Called with what there is first, then after every change. null: there is no record. */
  readonly onEntry: (entry: Entry | null) => void;
  /** Told once an outage begins. */
  readonly onProblem: (problem: FleetError) => void;
  /** It cannot be followed any more. */
  readonly onEnd: (error: unknown) => void;
}

/** From so many databases on, one query for all. */
const MANY = 8;
/** It also answers with the databases that nobody here uses: at most so many times those that somebody does. */
const WORTHWHILE = 4;

interface Followed extends FollowHandlers {
  /** Its own blocking query; null: all share one. */
  own: AbortController | null;
  /** Consul's index of what it was told last. */
  index: number;
}

export class RecordFeed {
  readonly #consul: FleetConsul;
  readonly #keys: ReturnType<typeof consulKeys>;
  readonly #followed = new Map<string, Followed>();
  /** The query for all; null: there is none. */
  #shared: AbortController | null = null;
  /** As many databases must be followed before it is tried (again). */
  #sharedFrom = MANY;
  #inTrouble = false;
  /** A look at all of them that is under way. */
  #looking: Promise<ReadonlyMap<string, Entry>> | null = null;

  constructor(consul: FleetConsul, fleet: string) {
    this.#consul = consul;
    this.#keys = consulKeys(fleet);
  }

  /** Until the feed is closed. Each database once. */
  follow(database: string, handlers: FollowHandlers): void {
    const followed: Followed = { ...handlers, own: null, index: -1 };
    this.#followed.set(database, followed);
    this.#followAlone(database, followed);
    if (this.#shared === null && this.#followed.size >= this.#sharedFrom) void this.#followAll();
  }

  /** What Consul says now, beside the blocking queries. Those that ask at the same time share an answer. */
  async look(database: string): Promise<Entry | null> {
    const key = this.#keys.database(database);
    if (this.#followed.get(database)?.own !== null) return readEntry(this.#consul, key);
    this.#looking ??= listEntries(this.#consul, this.#keys.databases)
      .then((entries) => new Map(entries.map((entry) => [entry.key, entry])))
      .finally(() => (this.#looking = null));
    return (await this.#looking).get(key) ?? null;
  }

  close(): void {
    this.#shared?.abort();
    for (const { own } of this.#followed.values()) own?.abort();
    this.#followed.clear();
  }

  #followAlone(database: string, followed: Followed): void {
    const own = new AbortController();
    followed.own = own;
    const onChange = ([entry]: readonly Entry[]): void => {
      if (followed.own === own) tell(followed, entry ?? null);
    };
    watchKey(
      this.#consul,
      this.#keys.database(database),
      { onChange, onProblem: followed.onProblem },
      own.signal,
    ).catch(followed.onEnd);
  }

  async #followAll(): Promise<void> {
    const shared = new AbortController();
    this.#shared = shared;
    const handlers = {
      onChange: (entries: readonly Entry[]): void => this.#heard(entries),
      onProblem: (problem: FleetError): void => {
        this.#inTrouble = true;
        for (const followed of this.#followed.values())
          if (followed.own === null) followed.onProblem(problem);
      },
    };
    try {
      await watchPrefix(this.#consul, this.#keys.databases, handlers, shared.signal);
    } catch (error) {
      for (const followed of this.#followed.values()) if (followed.own === null) followed.onEnd(error);
    }
  }

  #heard(entries: readonly Entry[]): void {
    if (entries.length > WORTHWHILE * this.#followed.size) {
      this.#leave(Math.ceil(entries.length / WORTHWHILE));
      return;
    }
    const afterTrouble = this.#inTrouble;
    this.#inTrouble = false;
    const found = new Map(entries.map((entry) => [entry.key, entry]));
    for (const [database, followed] of this.#followed) {
      const entry = found.get(this.#keys.database(database));
      if (entry === undefined) {
        // Gone, or not to be read together with the others: its own query says which.
        if (followed.own === null) this.#followAlone(database, followed);
      } else if (followed.own === null) {
        if (afterTrouble || entry.modifyIndex !== followed.index) tell(followed, entry);
      } else if (entry.modifyIndex >= followed.index) {
        // Its own query is not ahead of this one.
        followed.own.abort();
        followed.own = null;
        tell(followed, entry);
      }
    }
  }

  /** It costs more than it saves. */
  #leave(sharedFrom: number): void {
    this.#sharedFrom = sharedFrom;
    this.#shared?.abort();
    this.#shared = null;
    for (const [database, followed] of this.#followed)
      if (followed.own === null) this.#followAlone(database, followed);
  }
}

function tell(followed: Followed, entry: Entry | null): void {
  followed.index = entry?.modifyIndex ?? -1;
  followed.onEntry(entry);
}
