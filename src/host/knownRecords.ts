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
  onChange(listener: (list: RecordList) => void): void;
  onProblem(listener: (problem: FleetError) => void): void;
  /** Runs until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function knownRecords(consul: FleetConsul, fleet: string): KnownRecords {
  const changed: ((list: RecordList) => void)[] = [];
  const troubled: ((problem: FleetError) => void)[] = [];
  let known: RecordList | null = null;
  let byDatabase: ReadonlyMap<string, DatabaseRecord> = new Map();
  return {
    list: () => known,
    of: (database) => byDatabase.get(database) ?? null,
    onChange: (listener) => void changed.push(listener),
    onProblem: (listener) => void troubled.push(listener),
    async run(signal) {
      await recordStore(consul, fleet).watch(
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
    },
  };
}
