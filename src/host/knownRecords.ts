/** The records as this host knows them: followed once, for everybody in the agent who wants to know. */

import type { FleetConsul } from '../connections/consul.js';
import type { FleetError } from '../fleet/errors.js';
import type { DatabaseRecord } from '../fleet/record.js';
import { recordStore, type RecordList, type RecordStore } from '../records/databases.js';

export interface KnownRecords {
  /** null: never seen. What was seen last stays, whatever becomes of Consul. */
  list(): RecordList | null;
  /** As it last was readable. null: there is none, or none was ever seen. */
  of(database: string): DatabaseRecord | null;
  /** Never stale; what is known is corrected by it. @throws FleetError InvalidRecord, Unreachable */
  read(database: string): Promise<DatabaseRecord | null>;
  /** What was asked of Consul before it was away may never be answered: ask anew. */
  askAnew(): void;
  onChange(listener: (list: RecordList) => void): void;
  onProblem(listener: (problem: FleetError) => void): void;
  /** Runs until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function knownRecords(consul: FleetConsul, fleet: string): KnownRecords {
  const changed: ((list: RecordList) => void)[] = [];
  const troubled: ((problem: FleetError) => void)[] = [];
  let known: RecordList | null = null;
  let byDatabase = new Map<string, DatabaseRecord>();
  let asking = new AbortController();
  const store = recordStore(consul, fleet);
  const fresh = freshRecords(store);
  return {
    list: () => known,
    of: (database) => byDatabase.get(database) ?? null,
    onChange: (listener) => void changed.push(listener),
    onProblem: (listener) => void troubled.push(listener),
    async read(database) {
      const record = await fresh(database);
      if (record === null) byDatabase.delete(database);
      else byDatabase.set(database, record);
      return record;
    },
    askAnew: () => asking.abort(),
    async run(signal) {
      const stop = (): void => asking.abort();
      signal.addEventListener('abort', stop, { once: true });
      while (!signal.aborted) {
        asking = new AbortController();
        await follow(asking.signal);
      }
    },
  };

  async function follow(signal: AbortSignal): Promise<void> {
    await store.watch(
      (list) => {
        known = list;
        // One that was edited into nonsense: what it said before holds.
        const unreadable = list.invalid.flatMap(({ database }) => byDatabase.get(database) ?? []);
        const readable = list.records.map(({ record }) => record);
        byDatabase = new Map([...unreadable, ...readable].map((record) => [record.database, record]));
        changed.forEach((tell) => tell(list));
      },
      signal,
      (problem) => troubled.forEach((tell) => tell(problem)),
    );
  }
}

/** A host that begins to lead many databases at once asks for all of them with one question. */
function freshRecords(store: RecordStore): (database: string) => Promise<DatabaseRecord | null> {
  let asked: string[] = [];
  let answer: Promise<RecordList | null> | null = null;

  /** One that is asked for alone is read alone. null: that. */
  async function together(): Promise<RecordList | null> {
    await new Promise((resolve) => setImmediate(resolve));
    const several = asked.length > 1;
    asked = [];
    // Whoever asks from now on may not be told what was read before.
    answer = null;
    return several ? await store.list() : null;
  }

  return async (database) => {
    asked.push(database);
    const list = await (answer ??= together());
    if (list === null) return (await store.read(database))?.record ?? null;
    const invalid = list.invalid.find((one) => one.database === database);
    if (invalid !== undefined) throw invalid.problem;
    return list.records.find(({ record }) => record.database === database)?.record ?? null;
  };
}
