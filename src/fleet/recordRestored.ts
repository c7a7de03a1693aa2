/** The change of a record that a restore makes. As those of recordChanges.ts. */

import type { DatabaseRecord, Endpoint } from './record.js';
import { sameEndpoint } from './record.js';
import { notOwned, otherEpoch, sameHost } from './recordChanges.js';
import type { Author, Change } from './recordChanges.js';

/**
 * The next epoch, with a leader that holds restored data. Followers that the record had are followers of data that is
 * gone: only the one named stays.
 */
export function publishRestored(
  record: DatabaseRecord,
  wanted: { readonly epoch: number; readonly leader: Endpoint; readonly follower: Endpoint | null },
  author: Author,
): Change {
  const { epoch, leader, follower } = wanted;
  const refusal = notOwned(record, author) ?? (follower === null ? null : sameHost(record, leader, follower));
  if (refusal) return refusal;
  const sameFollower =
    follower === null
      ? record.follower === null
      : record.follower !== null && sameEndpoint(record.follower, follower);
  if (record.epoch === epoch + 1 && sameEndpoint(record.leader, leader) && sameFollower)
    return { record, changed: false };
  if (record.epoch !== epoch) return otherEpoch(record, epoch);
  const { database, server, operation } = record;
  return {
    changed: true,
    record: {
      database,
      server,
      ...(operation === undefined ? {} : { operation }),
      epoch: epoch + 1,
      leader,
      follower,
      updatedAt: author.at,
      updatedBy: author.operation.workflowId,
    },
  };
}
