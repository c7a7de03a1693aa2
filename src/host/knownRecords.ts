/** The records as this host knows them: followed once, for everybody in the agent who wants to know. */

import type { FleetConsul } from '../connections/consul.js';
import type { FleetError } from '../fleet/errors.js';
import type { DatabaseRecord } from '../fleet/record.js';
import { recordStore, type RecordList } from '../records/databases.js';

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
  return {
    list: () => known,
    of: (database) => byDatabase.get(database) ?? null,
    onChange: (listener) => void changed.push(listener),
    onProblem: (listener) => void troubled.push(listener),
    async read(database) {
      const stored = await store.read(database);
      if (stored === null) byDatabase.delete(database);
      else byDatabase.set(database, stored.record);
      return stored?.record ?? null;
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
