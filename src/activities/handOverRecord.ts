/** The record's part in a hand-over: who owns it, and that it names the new leader. */

import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from '../fleet/errors.js';
import { sameEndpoint, showEndpoint, type DatabaseRecord, type StoredRecord } from '../fleet/record.js';
import { ABSENT } from '../records/databases.js';
import { changeLeader, claim, notOwned, type Change } from '../fleet/recordChanges.js';
import type { HandOver } from './handOver.js';
import { readOwned } from './ownedRecord.js';

type RecordPart = Pick<HandOver, 'database' | 'epoch' | 'from' | 'to' | 'author' | 'records'>;

/** While the record lags behind, clients find nobody who takes writes: tried again at once, and often. */
const TRY_FOR_MS = 5_000;
const TRY_EVERY_MS = 50;

/**
 * The record, owned by the calling workflow, before the hand-over or after it.
 * @throws OwnershipLost, RecordChanged, Unreachable
 */
export async function mustOwn(part: RecordPart): Promise<StoredRecord> {
  const { database, epoch, from, to, author, records } = part;
  const stored = await readOwned(records, database);
  const refusal = notOwned(stored.record, author);
  if (refusal !== null) throw new FleetError(refusal.refused, refusal.why);
  const { record } = stored;
  const before = record.epoch === epoch && sameEndpoint(record.leader, from);
  const after = record.epoch === epoch + 1 && sameEndpoint(record.leader, to);
  if (before || after) return stored;
  throw new FleetError(
    'RecordChanged',
    `Database ${database} is at epoch ${record.epoch} and led by ${showEndpoint(record.leader)}, which is not what this switchover planned from. ` +
      'It was left as it is; start the switchover again to plan from there.',
  );
}

/**
 * The same, proved by a write: a change of the record that another attempt has on its way comes to nothing.
 * @throws OwnershipLost, RecordChanged, Unreachable
 */
export async function holdRecord(part: RecordPart): Promise<void> {
  const { record, modifyIndex } = await mustOwn(part);
  if (record.epoch === part.epoch && (await part.records.compareAndSet(record, modifyIndex))) return;
  throw new FleetError(
    'Unreachable',
    `The record of database ${part.database} changed in this moment. It is looked at again.`,
  );
}

/**
 * Epoch + 1, with the new leader, tried until it is known what the record says.
 * @param stillLeads looked at again before every further try; false: another attempt, or its death, came between
 * @throws OwnershipLost, RecordChanged, Unreachable
 */
export async function recordNewLeader(
  part: RecordPart,
  known: StoredRecord,
  stillLeads: () => Promise<boolean>,
): Promise<DatabaseRecord> {
  const { database, records, to } = part;
  const giveUpAt = performance.now() + TRY_FOR_MS;
  let stored: StoredRecord | null = known;
  for (;;) {
    try {
      const change = next(part, stored);
      if ('refused' in change) {
        throw new FleetError(change.refused, `${change.why} ${showEndpoint(to)} leads already.`);
      }
      if (!change.changed) return change.record;
      if (await records.compareAndSet(change.record, stored?.modifyIndex ?? ABSENT)) return change.record;
    } catch (error) {
      // It may have been written all the same: the next look at the record tells.
      if (!(error instanceof FleetError) || !error.retryable || performance.now() > giveUpAt) throw error;
      await sleep(TRY_EVERY_MS);
    }
    if (!(await stillLeads())) {
      throw new FleetError(
        'Unreachable',
        `The record of database ${database} does not say yet that ${showEndpoint(to)} leads, and that one does not answer any more. Both are looked at again.`,
      );
    }
    stored = await readAgain(part, stored);
  }
}

/** Where Consul does not answer, what was known: its index decides. */
async function readAgain(
  { database, records }: RecordPart,
  known: StoredRecord | null,
): Promise<StoredRecord | null> {
  try {
    return await records.read(database);
  } catch (error) {
    if (error instanceof FleetError && error.retryable) return known;
    throw error;
  }
}

function next({ database, epoch, from, to, author }: RecordPart, stored: StoredRecord | null): Change {
  if (stored === null) {
    return {
      refused: 'OwnershipLost',
      why: `The record of database ${database} is gone: somebody removed it.`,
    };
  }
  // One that took the database and gave it back left nobody to finish this.
  const free = stored.record.operation === undefined && stored.record.epoch === epoch;
  const claimed = free ? claim(stored.record, author) : null;
  const record = claimed !== null && 'record' in claimed ? claimed.record : stored.record;
  return changeLeader(record, { epoch, leader: to, follower: from }, author);
}
