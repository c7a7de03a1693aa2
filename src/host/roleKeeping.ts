/** As soon as a record names another leader, the catalog does, too: before anything slower is looked at. */

import type { FleetConsul } from '../connections/consul.js';
import { messageOf } from '../fleet/errors.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { RecordList } from '../records/databases.js';
import { settleAllRoles } from '../records/serviceRoles.js';

export interface RoleKeeping {
  /** Told of every change of the records. */
  follow(list: RecordList): void;
  /**
   * Makes sure of one of the databases that are led here, another one with each call: with the result of a check, and when
   * it starts anew, a Consul agent repeats an entry of long ago, and the host's own agent may be dead.
   */
  makeSure(): void;
  /** Returns when the catalog says what the records said so far, or cannot be told now; that is tried again here. */
  settled(): Promise<void>;
}

export interface RoleKeepingOptions {
  readonly fleet: string;
  readonly host: string;
  readonly consul: FleetConsul;
  readonly onProblem: (problem: string) => void;
}

/** When a host has failed, clients that follow the records come before those that ask the catalog. */
const MANY = 8;
const MANY_WAIT_MS = 300;

export function roleKeeping({ fleet, host, consul, onProblem }: RoleKeepingOptions): RoleKeeping {
  /** As last seen, by database. null: nothing was seen yet, and what is registered is corrected in its own time. */
  let seen: ReadonlyMap<string, DatabaseRecord> | null = null;
  const due = new Map<string, DatabaseRecord>();
  let turn = 0;
  let work: Promise<void> = Promise.resolve();

  async function settle(): Promise<void> {
    const records = [...due.values()];
    try {
      const unsettled = await settleAllRoles(consul, { fleet, records });
      const left = new Set(unsettled.map(({ record }) => record));
      for (const record of records) {
        if (!left.has(record) && due.get(record.database) === record) due.delete(record.database);
      }
      for (const { error } of unsettled) onProblem(error.message);
    } catch (error) {
      onProblem(messageOf(error));
    }
  }

  function begin(): Promise<void> {
    work = work.then(settle);
    return work;
  }

  return {
    follow({ records }) {
      const before = seen;
      seen = new Map(records.map(({ record }) => [record.database, record]));
      if (before === null) return;
      let leadsHere = false;
      for (const { record } of records) {
        const old = before.get(record.database);
        // The hosts concerned see to it, each: one of them may be dead.
        const concerned = [record, ...(old ? [old] : [])].some((one) => isOn(one, host));
        if (!concerned || record.epoch === 0 || record.epoch === old?.epoch) continue;
        due.set(record.database, record);
        leadsHere ||= record.leader.host === host;
      }
      // The new leader's host does it. The other one looks with its next report: that one may be dead.
      if (!leadsHere) return;
      if (due.size < MANY) void begin();
      else setTimeout(() => void begin(), MANY_WAIT_MS).unref();
    },
    makeSure() {
      const led = [...(seen?.values() ?? [])].filter(
        ({ epoch, leader }) => epoch > 0 && leader.host === host,
      );
      const record = led[turn++ % Math.max(1, led.length)];
      if (record !== undefined && !due.has(record.database)) due.set(record.database, record);
    },
    async settled() {
      await (due.size > 0 ? begin() : work);
    },
  };
}

function isOn(record: DatabaseRecord, host: string): boolean {
  const all: readonly (Endpoint | null)[] = [
    record.leader,
    record.follower,
    ...(record.extraFollowers ?? []),
  ];
  return all.some((endpoint) => endpoint?.host === host);
}
