/** The whole way of backups through a bucket, encrypted: swept, tried out, listed, and brought back after both copies were lost. */

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { WorkflowType } from '../../src/fleet/names.js';
import { processFiles } from '../../src/host/layout.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import type { Sweep } from '../../src/workflows/backupSweep.js';
import type { DrilledBackups } from '../../src/workflows/drillBackups.js';
import { BUCKET, removeFolder, startS3, temporaryFolder, type S3Server } from './backupStage.js';
import { killProcess } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import { APPROVED, read, restore, restored, write } from './restoreStage.js';

const IDENTITIES = 'REDIS_FLEET_BACKUP_IDENTITIES';
const RECIPIENTS = 'REDIS_FLEET_BACKUP_RECIPIENTS';

let folder: string;
let s3: S3Server;
let fleet: TestFleet;

beforeAll(async () => {
  folder = await temporaryFolder();
  s3 = await startS3(path.join(folder, 's3'));
  const identity = await generateIdentity();
  // What agents inherit.
  process.env[IDENTITIES] = identity;
  process.env[RECIPIENTS] = await identityToRecipient(identity);
  const store = `s3://${BUCKET}/of-redis?endpoint=http://127.0.0.1:${String(s3.port)}&region=us-east-1`;
  fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: 2,
    name: 'bucket',
    backups: `{ every: 1h, store: "${store}", encryption: required, paused: true }`,
  });
});
afterAll(async () => {
  Reflect.deleteProperty(process.env, IDENTITIES);
  Reflect.deleteProperty(process.env, RECIPIENTS);
  await fleet.stop();
  await s3.end();
  await removeFolder(folder);
});

async function ended(type: WorkflowType, name: string, request: object): Promise<unknown> {
  const run = await startRunbook(fleet.dev.temporal, type, name, request as never, {
    fleet: fleet.dev.fleet.name,
  });
  const end = await runbookEnd(fleet.dev.temporal, run);
  if (end.how !== 'well') throw new Error(`${type} failed (${end.kind}): ${end.problem}`);
  return end.result;
}

function objects(): readonly string[] {
  const root = path.join(s3.folder, BUCKET);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

test('encrypted backups in a bucket are swept, tried out, and bring back what both hosts lost', async () => {
  const [database = ''] = fleet.databases;
  await write(fleet, database, 'secret-of-the-test', 'a-value-that-nobody-else-may-read');
  const { host } = await fleet.follower(database);

  const sweep = (await ended('backupSweep', host, { host })) as Sweep;
  expect(sweep.verified).toBe(2);
  expect(objects().length).toBeGreaterThanOrEqual(2 * fleet.databases.length);
  for (const file of objects())
    expect(readFileSync(file).includes('a-value-that-nobody-else-may-read')).toBe(false);

  const { outcomes } = (await ended('drillBackups', database, { database })) as DrilledBackups;
  expect(outcomes).toMatchObject([{ database, passed: true }]);

  const list = await cli(fleet.dev.env, ['backups', 'list', database]);
  expect(list.code).toBe(0);
  expect(list.out).toContain('verified');

  const { leader, follower } = await fleet.record(database);
  for (const endpoint of [follower, leader]) {
    if (endpoint === null) throw new Error('It has no follower.');
    await killProcess(fleet, database, endpoint);
    rmSync(processFiles(fleet.dev.data.host(endpoint.host), database).directory, { recursive: true });
  }
  const result = await restored(fleet, await restore(fleet, { database, approved: APPROVED }));
  expect(result).toMatchObject({ database, epoch: 2 });
  expect(await read(fleet, await fleet.leader(database), 'secret-of-the-test')).toBe(
    'a-value-that-nobody-else-may-read',
  );
});
