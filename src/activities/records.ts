/** Reads and changes records for the calling workflow, which owns what it changes. */

import { FleetError } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';
import { placeFollower } from '../fleet/followerPlacement.js';
import { dependsOnOwnerState, mayClaim, sameRun } from '../fleet/ownership.js';
import type { OwnerState } from '../fleet/ownership.js';
import { holderOf, showEndpoint } from '../fleet/record.js';
import type { DatabaseRecord, Operation, StoredRecord } from '../fleet/record.js';
import {
  addExtraFollower,
  claim,
  createNew,
  establish,
  handBack,
  notOwned,
  release,
  restoreFollowers,
  setFollower,
} from '../fleet/recordChanges.js';
import type { Author, Change } from '../fleet/recordChanges.js';
import { ABSENT } from '../records/databases.js';
import type { RecordStore } from '../records/databases.js';
import type { FleetStore } from '../records/fleet.js';
import type { PermitStore } from '../records/permits.js';
import type { RecordActivities } from './contracts.js';
import { readOwned } from './ownedRecord.js';
import { callingWorkflow } from './owner.js';
import type { AskOwnerState } from './owner.js';
import { permitActivities } from './permits.js';

export interface RecordDependencies {
  readonly fleetName: string;
  readonly records: RecordStore;
  readonly permits: PermitStore;
  readonly fleet: FleetStore;
  readonly askOwnerState: AskOwnerState;
}

export function recordActivities(dependencies: RecordDependencies): RecordActivities {
  const { records, fleet, fleetName, askOwnerState } = dependencies;

  const appliedFleet = (): Promise<Fleet> => fleet.applied('nobody knows its servers');

  async function existing(database: string): Promise<StoredRecord> {
    const stored = await records.read(database);
    if (stored) return stored;
    throw new FleetError(
      'NotFound',
      `Database ${database} has no record in fleet ${fleetName}: it was never provisioned. ` +
        '`redis-fleet plan` shows what is missing, `redis-fleet apply` provisions it.',
    );
  }

  async function stateOf(owner: Operation | undefined, claimant: Operation): Promise<OwnerState> {
    return owner && dependsOnOwnerState(owner, claimant) ? await askOwnerState(owner) : 'running';
  }

  /** @throws FleetError DatabaseOwned */
  async function judgeClaim({ record }: StoredRecord, { operation }: Author): Promise<void> {
    const { database, operation: owner } = record;
    const verdict = mayClaim(`database ${database}`, owner, operation, await stateOf(owner, operation));
    if (!verdict.may) throw new FleetError('DatabaseOwned', verdict.why);
  }

  /** Returns the record after the claim, and who owned it before. */
  async function claimOne(
    database: string,
    author: Author,
  ): Promise<{ record: DatabaseRecord; before: Operation | undefined }> {
    let before: Operation | undefined;
    const record = await changeRecord(
      records,
      database,
      () => existing(database),
      async (stored) => {
        await judgeClaim(stored, author);
        before = stored.record.operation;
        return claim(stored.record, author);
      },
    );
    return { record, before };
  }

  return {
    async readServer({ server: name }) {
      const { servers, databases } = await appliedFleet();
      const server = servers.find((candidate) => candidate.name === name);
      if (!server) {
        throw new FleetError(
          'NotFound',
          `Server ${name} is not in the applied fleet file of ${fleetName}. It has ${servers.map((known) => known.name).join(', ')}. ` +
            'Add it to the file and `redis-fleet apply` it.',
        );
      }
      return { ...server, databases: databases.filter((database) => database.server === name) };
    },

    async readRecords({ databases }) {
      return await Promise.all(databases.map(async (name) => (await records.read(name))?.record ?? null));
    },

    async readPlacement({ database, host }) {
      const [applied, stored] = await Promise.all([appliedFleet(), existing(database)]);
      return placeFollower(applied, stored.record, host);
    },

    async claimDatabases({ databases, urgency }) {
      const author = callingWorkflow(urgency);
      // Looking at all before taking any: a refusal then disturbs nobody whom we would have preempted.
      for (const database of databases) await judgeClaim(await existing(database), author);
      const taken = new Map<string, { record: DatabaseRecord; before: Operation | undefined }>();
      try {
        // In one order for everybody: two claims of the same databases do not refuse each other.
        for (const database of databases.toSorted()) taken.set(database, await claimOne(database, author));
      } catch (error) {
        for (const [database, { before }] of taken) {
          if (before && sameRun(before, author.operation)) continue;
          await changeRecord(
            records,
            database,
            () => existing(database),
            (stored) => handBack(stored.record, before, author),
          );
        }
        throw error;
      }
      return databases.flatMap((database) => taken.get(database)?.record ?? []);
    },

    async confirmOwnership({ databases }) {
      const author = callingWorkflow();
      await Promise.all(
        databases.map(async (database) => {
          const refusal = notOwned((await readOwned(records, database)).record, author);
          if (refusal) throw new FleetError(refusal.refused, refusal.why);
        }),
      );
    },

    async releaseDatabases({ databases }) {
      const author = callingWorkflow();
      for (const database of databases) {
        if ((await records.read(database)) === null) continue;
        await changeRecord(
          records,
          database,
          () => existing(database),
          (stored) => release(stored.record, author),
        );
      }
    },

    async createRecords({ records: wanted, urgency }) {
      const author = callingWorkflow(urgency);
      for (const record of wanted) {
        await changeRecord(
          records,
          record.database,
          () => records.read(record.database),
          async (stored) =>
            createNew(
              stored?.record ?? null,
              record,
              author,
              await stateOf(stored?.record.operation, author.operation),
            ),
        );
      }
      // Only now: of two that choose the same port at the same time, the one that comes second sees the other's record.
      const { records: all } = await records.list();
      for (const { database, leader } of wanted) {
        const other = holderOf(
          leader,
          all.map(({ record }) => record).filter((record) => record.database !== database),
        );
        if (other === null) continue;
        throw new FleetError(
          'PortInUse',
          `${showEndpoint(leader)} belongs to database ${other.database} by now, so ${database} cannot be there. ` +
            'Nothing was started. Start this runbook again, or name another port.',
        );
      }
    },

    async removeNewRecords({ databases }) {
      const author = callingWorkflow();
      for (const database of databases) {
        for (;;) {
          const stored = await records.read(database);
          if (!stored || stored.record.epoch > 0 || notOwned(stored.record, author)) break;
          if (await records.compareAndDelete(database, stored.modifyIndex)) break;
        }
      }
    },

    async establishRecords({ records: wanted }) {
      const author = callingWorkflow();
      for (const { database, leader, follower } of wanted) {
        await changeRecord(
          records,
          database,
          () => readOwned(records, database),
          (stored) => establish(stored.record, { leader, follower }, author),
        );
      }
    },

    async setFollower({ database, epoch, follower, role }) {
      const author = callingWorkflow();
      const change = role === 'follower' ? setFollower : addExtraFollower;
      await changeRecord(
        records,
        database,
        () => readOwned(records, database),
        (stored) => change(stored.record, { epoch, follower }, author),
      );
    },

    async restoreFollowers({ database, ...wanted }) {
      const author = callingWorkflow();
      await changeRecord(
        records,
        database,
        () => readOwned(records, database),
        (stored) => restoreFollowers(stored.record, wanted, author),
      );
    },

    ...permitActivities(dependencies),
  };
}

/** For `changeRecord`: the record as it was listed; what was lost in a race is read anew. */
export function listedFirst(records: RecordStore, stored: StoredRecord): () => Promise<StoredRecord> {
  let listed: StoredRecord | null = stored;
  const { database } = stored.record;
  return async () => {
    const now = listed ?? (await records.read(database));
    listed = null;
    if (now !== null) return now;
    throw new FleetError('NotFound', `The record of database ${database} is gone: somebody removed it.`);
  };
}

/** More lost races than this in a row are no race any more. */
const MOST_TRIES = 20;

/**
 * Reads, decides and writes by compare-and-set. When somebody else wrote first, reads and decides again: only a
 * decision that holds for what is there now is written.
 * @throws FleetError what `decide` refuses with; RecordChanged
 */
export async function changeRecord<S extends StoredRecord | null>(
  records: RecordStore,
  database: string,
  read: () => Promise<S>,
  decide: (stored: S) => Change | Promise<Change>,
): Promise<DatabaseRecord> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const stored = await read();
    const change = await decide(stored);
    if ('refused' in change) throw new FleetError(change.refused, change.why);
    if (!change.changed) return change.record;
    if (await records.compareAndSet(change.record, stored?.modifyIndex ?? ABSENT)) return change.record;
  }
  throw new FleetError(
    'RecordChanged',
    `The record of database ${database} changed ${MOST_TRIES} times while it was to be written; it was left as the others wrote it. ` +
      'Look who writes it with `redis-fleet status`, then retry.',
  );
}
