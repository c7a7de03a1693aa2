/** A backup takes little memory, whatever its size: a host's memory is planned for forks. */

import path from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  jobFor,
  removeFolder,
  runBackup,
  startS3,
  temporaryFolder,
  writeRdb,
  type S3Server,
} from './backupStage.js';

const MOST_EXTRA_BYTES = 64 * 1024 ** 2;
const MEGABYTES = 200;

let folder: string;
let s3: S3Server;
let rdb: string;
let keys: Record<string, string>;

beforeAll(async () => {
  folder = await temporaryFolder();
  s3 = await startS3(path.join(folder, 's3'));
  rdb = await writeRdb(folder, { megabytes: MEGABYTES, keys: 40_000 });
  const identity = await generateX25519Identity();
  keys = {
    REDIS_FLEET_BACKUP_IDENTITIES: identity,
    REDIS_FLEET_BACKUP_RECIPIENTS: await identityToRecipient(identity),
  };
});
afterAll(async () => {
  await s3.end();
  await removeFolder(folder);
});

it.each([
  ['as Redis wrote it, in a directory', 'file', null, false],
  ['compressed, in a directory', 'file', 3, false],
  ['compressed and encrypted, in a directory', 'file', 3, true],
  ['as Redis wrote it, in S3', 's3', null, false],
  ['compressed, in S3', 's3', 3, false],
] as const)(
  `storing, verifying and restoring ${MEGABYTES} MB takes at most 64 MB: %s`,
  async (what, kind, level, encrypt) => {
    const url =
      kind === 'file'
        ? `file:${path.join(folder, what)}`
        : `s3://backups/${level ?? 0}?endpoint=http://127.0.0.1:${s3.port}`;
    const common = {
      url,
      job: jobFor(rdb),
      level,
      bytesPerSecond: null,
      target: path.join(folder, 'restored.rdb'),
    };
    const extra: Record<string, number> = {};
    for (const work of ['store', 'verify', 'restore'] as const) {
      const run = runBackup({ ...common, work }, encrypt ? keys : {});
      extra[work] = Math.round((await run.result()).extraBytes / 1024 ** 2);
    }
    for (const megabytes of Object.values(extra)) {
      expect(megabytes, JSON.stringify(extra)).toBeLessThanOrEqual(MOST_EXTRA_BYTES / 1024 ** 2);
    }
  },
);
