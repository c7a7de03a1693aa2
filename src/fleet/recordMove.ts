/** The change of a record that a move makes once its new leader leads. As those of recordChanges.ts. */

import type { DatabaseRecord, Endpoint } from './record.js';
import { sameEndpoint } from './record.js';
import { notOwned, otherEpoch, sameHost } from './recordChanges.js';
import type { Author, Change } from './recordChanges.js';

/** Where the database is from now on. The leader stays: it changes by a hand-over alone. */
export function recordMove(
  record: DatabaseRecord,
  wanted: {
    readonly epoch: number;
    readonly server: string;
    readonly follower: Endpoint;
    readonly extraFollowers: readonly Endpoint[];
  },
  author: Author,
): Change {
  const { epoch, server, follower, extraFollowers } = wanted;
  const refusal = notOwned(record, author) ?? sameHost(record, record.leader, follower);
  if (refusal) return refusal;
  if (record.epoch !== epoch) return otherEpoch(record, epoch);
  const { extraFollowers: before = [], ...rest } = record;
  const same =
    record.server === server &&
    record.follower !== null &&
    sameEndpoint(record.follower, follower) &&
    before.length === extraFollowers.length &&
    before.every((one) => extraFollowers.some((other) => sameEndpoint(one, other)));
  if (same) return { record, changed: false };
  return {
    changed: true,
    record: {
      ...rest,
      server,
      follower,
      ...(extraFollowers.length === 0 ? {} : { extraFollowers }),
      updatedAt: author.at,
      updatedBy: author.operation.workflowId,
    },
  };
}
