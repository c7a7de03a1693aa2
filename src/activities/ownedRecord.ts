import { FleetError } from '../fleet/errors.js';
import type { StoredRecord } from '../fleet/record.js';
import type { RecordStore } from '../records/databases.js';

/**
 * The record of a database that the calling runbook took: nobody may remove it meanwhile.
 * @throws FleetError OwnershipLost (it is gone), InvalidRecord, Unreachable
 */
export async function readOwned(records: RecordStore, database: string): Promise<StoredRecord> {
  const stored = await records.read(database);
  if (stored !== null) return stored;
  throw new FleetError(
    'OwnershipLost',
    `The record of database ${database} is gone: somebody removed it. This runbook changed nothing more. Look with \`redis-fleet status\`.`,
  );
}
