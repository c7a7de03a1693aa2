/** The record's part in a hand-over: who owns it, and that it names the new leader. */

import { setTimeout as sleep } from 'node:timers/promises';
import { FleetError } from '../fleet/errors.js';
import { sameEndpoint, showEndpoint, type DatabaseRecord, type StoredRecord } from '../fleet/record.js';
import { changeLeader, claim, notOwned, type Change } from '../fleet/recordChanges.js';
import type { HandOver } from './handOver.js';

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
  const stored = await records.read(database);
  if (stored === null) {
    throw new FleetError(
      'OwnershipLost',
      `The record of database ${database} is gone: somebody removed it. This runbook changed nothing more. Look with \`redis-fleet status\`.`,
    );
  }
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
 * Epoch + 1, with the new leader. It leads already, so this is tried until it is known what the record says.
 * @throws OwnershipLost, RecordChanged, Unreachable
 */
export async function recordNewLeader(part: RecordPart, known: StoredRecord): Promise<DatabaseRecord> {
  const { database, records, to } = part;
  const giveUpAt = performance.now() + TRY_FOR_MS;
  let stored: StoredRecord | null = known;
  for (;;) {
    try {
      stored ??= await records.read(database);
      const change = next(part, stored);
      if ('refused' in change) {
        throw new FleetError(change.refused, `${change.why} ${showEndpoint(to)} leads already.`);
      }
      if (!change.changed) return change.record;
      if (await records.compareAndSet(change.record, stored?.modifyIndex ?? 0)) return change.record;
    } catch (error) {
      // It may have been written all the same: the next read tells.
      if (!(error instanceof FleetError) || !error.retryable || performance.now() > giveUpAt) throw error;
      await sleep(TRY_EVERY_MS);
    }
    stored = null;
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
