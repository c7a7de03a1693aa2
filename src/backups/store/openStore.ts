import path from 'node:path';
import { FleetError } from '../../fleet/errors.js';
import { parseStoreUrl } from '../../fleet/backupStoreUrl.js';
import { directoryStore } from './directory.js';
import { s3Store } from './s3.js';
import type { S3Patience } from './s3Client.js';
import type { BackupStore } from './store.js';

/**
 * The store that `backups.store` of a fleet file names. Does not connect yet.
 * @param base what a relative directory lies in
 * @throws InvalidRequest
 */
export async function openStore(
  url: string,
  { base, patience }: { readonly base: string; readonly patience?: S3Patience },
): Promise<BackupStore> {
  const location = parseStoreUrl(url);
  if (!location.ok)
    throw new FleetError(
      'InvalidRequest',
      `backups.store: ${location.problem}. Nothing was read or changed.`,
    );
  return location.value.kind === 'directory'
    ? directoryStore(path.resolve(base, location.value.path))
    : s3Store(location.value, patience);
}
