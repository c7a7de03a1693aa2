/** Whatever is wrong with a backup is found before it is restored from, and named; the next older one takes its place. */

import { copyFileSync } from 'node:fs';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyId } from '../../src/backups/keyring.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { backupsOf, makeBackup, type MadeBackup } from '../../src/testbed/backups.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { expectAtRest, failed } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import {
  APPROVED,
  cutShort,
  expectNothingFetched,
  flipByte,
  loseFile,
  read,
  restore,
  restored,
  write,
} from './restoreStage.js';

let fleet: TestFleet;
let database: string;
let leader: Endpoint;
let before: DatabaseRecord;
let runId: string;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 2, databasesPerServer: 1, name: 'damaged' });
  [database = ''] = fleet.databases;
  leader = await fleet.leader(database);
  await loadData({ ...fleet.application, where: leader, megabytes: 1, seed: 1 });
  before = await fleet.record(database);
  ({ runId } = await fleet.facts(leader));
});
afterAll(async () => {
  await fleet.stop();
});

async function refusedFrom({ id }: MadeBackup): Promise<string> {
  const end = await failed(fleet, await restore(fleet, { database, from: id, approved: APPROVED }));
  expect(end.problem).toContain(id);
  expect(await fleet.record(database)).toMatchObject({ epoch: before.epoch, leader: before.leader });
  // Nobody was as much as stopped.
  expect((await fleet.facts(leader)).runId).toBe(runId);
  await expectAtRest(fleet, database);
  expectNothingFetched(fleet, database);
  return end.problem;
}

describe('a backup', () => {
  test('with a byte flipped in the store is refused by name, and for good', async () => {
    const backup = await makeBackup(fleet, database);
    flipByte(backup.data);
    expect(await refusedFrom(backup)).toContain('was altered in the store');
    expect(await refusedFrom(backup)).toContain('its last check found it damaged');
  });

  test('that is truncated', async () => {
    const backup = await makeBackup(fleet, database);
    cutShort(backup.data);
    expect(await refusedFrom(backup)).toContain('is cut short');
  });

  test('with a foreign file under its name', async () => {
    const backup = await makeBackup(fleet, database);
    copyFileSync(backup.manifestFile, backup.data);
    expect(await refusedFrom(backup)).toContain('another file in place of its data');
  });

  test('whose data is gone', async () => {
    const backup = await makeBackup(fleet, database);
    loseFile(backup.data);
    expect(await refusedFrom(backup)).toContain('its data is gone');
  });

  test('without its manifest', async () => {
    const backup = await makeBackup(fleet, database);
    loseFile(backup.manifestFile);
    expect(await refusedFrom(backup)).toContain('it has no manifest');
  });

  test('for a key that nobody has here', async () => {
    const identity = await generateIdentity();
    const recipient = await identityToRecipient(identity);
    const id = keyId(recipient);
    const keyring = { recipients: [{ id, recipient }], identities: [{ id, identity }] };
    const backup = await makeBackup(fleet, database, { keyring });
    expect(await refusedFrom(backup)).toContain(`is encrypted for the keys ${id}, and no key is at hand`);
    loseFile(backup.manifestFile);
  });

  test('that nobody has is told from those that there are', async () => {
    const end = await failed(fleet, await restore(fleet, { database, from: '20200101T000000000Z-e1' }));
    expect(end.kind).toBe('NoSafeWay');
    expect(end.problem).toContain('There is no backup 20200101T000000000Z-e1');
  });
});

describe('the newest backup', () => {
  test('that turns out damaged gives way to the next older verified one, and the runbook says so', async () => {
    await write(fleet, database, 'age', 'older');
    const older = await makeBackup(fleet, database);
    await write(fleet, database, 'age', 'newer');
    const newer = await makeBackup(fleet, database);
    await write(fleet, database, 'age', 'newest');
    const unverified = await makeBackup(fleet, database, { verified: false });
    flipByte(newer.data);
    const result = await restored(fleet, await restore(fleet, { database, approved: APPROVED }));
    expect(result.backup).toBe(older.id);
    expect(result.passedOver.join('\n')).toContain(
      `Backup ${unverified.id} is not taken: it was never verified.`,
    );
    expect(result.passedOver.join('\n')).toContain(
      `Backup ${newer.id} of ${database} was altered in the store`,
    );
    expect(result.runbook.notes.join('\n')).toContain(
      `The next older verified backup is taken instead: ${older.id}.`,
    );
    expect(await read(fleet, leader, 'age')).toBe('older');
    expect((await backupsOf(fleet, database)).find(({ id }) => id === newer.id)?.proof).toBe('unsound');
  });

  test('as of a time is the newest that is not younger', async () => {
    const backups = await backupsOf(fleet, database);
    const sound = backups.filter(({ proof, data }) => proof === 'sound' && data.length > 0);
    const [newest] = sound;
    if (newest === undefined) throw new Error('There is none.');
    const asOf = (at: string) => restore(fleet, { database, from: { asOf: at }, dryRun: true });
    const result = await restored(fleet, await asOf(newest.takenAt));
    expect(result).toMatchObject({ dryRun: true, backup: newest.id });
    const tooEarly = await failed(fleet, await asOf('2020-01-01T00:00:00Z'));
    expect(tooEarly.problem).toContain(
      `There is no verified backup of ${database} from 2020-01-01T00:00:00Z or before`,
    );
  });

  test('that was never verified is checked when it is named', async () => {
    await write(fleet, database, 'age', 'unverified');
    const backup = await makeBackup(fleet, database, { verified: false });
    const result = await restored(
      fleet,
      await restore(fleet, { database, from: backup.manifest.stored.key, approved: APPROVED }),
    );
    expect(result.backup).toBe(backup.id);
    expect(result.keys).toBe((await fleet.facts(leader)).keys);
    expect((await backupsOf(fleet, database)).find(({ id }) => id === backup.id)?.proof).toBe('sound');
  });
});

describe('a restore beside', () => {
  test('gives a new database with its follower, and leaves the old one alone', async () => {
    await write(fleet, database, 'copied', 'yes');
    const backup = await makeBackup(fleet, database);
    await write(fleet, database, 'copied', 'changed since');
    const led = await fleet.facts(leader);
    const name = `${database}-restored`;
    const into = { database: name, server: 'redis-02' };
    const result = await restored(fleet, await restore(fleet, { database, into }));
    expect(result).toMatchObject({
      database: name,
      source: database,
      backup: backup.id,
      epoch: 1,
      leaderForks: 0,
    });
    const record = await fleet.record(name);
    expect(record).toMatchObject({
      server: 'redis-02',
      epoch: 1,
      leader: { host: 'redis-02-a', port: 6302 },
    });
    expect(record.follower).toMatchObject({ host: 'redis-02-b', port: 6302 });
    if (record.follower === null) throw new Error('It has no follower.');
    expect(await read(fleet, record.leader, 'copied')).toBe('yes');
    await write(fleet, name, 'new', 'write');
    expect(await read(fleet, record.follower, 'new')).toBe('write');
    expect(await read(fleet, leader, 'copied')).toBe('changed since');
    const now = await fleet.facts(leader);
    expect({ runId: now.runId, forks: now.totalForks }).toEqual({ runId: led.runId, forks: led.totalForks });
    await expectAtRest(fleet, name);
    expectNothingFetched(fleet, name);
    const again = await failed(fleet, await restore(fleet, { database, into }));
    expect(again.problem).toContain(`There is a database ${name} already`);
  });
});

describe('redis-fleet restore', () => {
  test('says what it would do, and does what it is told, with the exit codes of the others', async () => {
    const backup = await makeBackup(fleet, database);
    const led = await fleet.facts(leader);
    const dry = await cli(fleet.dev.env, ['restore', database, '--dry-run']);
    expect(dry.code).toBe(0);
    expect(dry.out).toMatch(
      new RegExp(
        `${database} would get the data of backup ${backup.id}, \\d+ s old, .+ Nothing was changed\\.`,
      ),
    );
    expect((await fleet.facts(leader)).runId).toBe(led.runId);
    // Without an approval it waits, and says how to move it on.
    const waits = await cli(fleet.dev.env, ['restore', database, '--from', backup.id]);
    expect(waits.code).toBe(1);
    expect(waits.out).toContain(`redis-fleet runbook approve restoreDatabase/${database}`);
    const abort = ['runbook', 'abort', `restoreDatabase/${database}`, '--reason', 'only tried'];
    expect((await cli({ ...fleet.dev.env, USER: 'ann' }, abort)).code).toBe(0);
    await failed(fleet, `restoreDatabase/${database}`);
    expect((await fleet.facts(leader)).runId).toBe(led.runId);
    const done = await cli({ ...fleet.dev.env, USER: 'ann' }, [
      ...['restore', database, '--from', backup.id, '--approve', '--reason', 'a test', '--json'],
    ]);
    expect(done.code).toBe(0);
    expect(JSON.parse(done.out)).toMatchObject({
      end: 'well',
      result: { backup: backup.id, leaderForks: 0 },
    });
    expectNothingFetched(fleet, database);
  });

  test('is called wrongly with two backups, an approval without a reason, or a place for nothing', async () => {
    for (const wrong of [
      ['--from', 'x', '--as-of', '2026-01-01T00:00:00Z'],
      ['--as-of', 'yesterday'],
      ['--approve'],
      ['--server', 'redis-02'],
      ['--into', 'y', '--approve', '--reason', 'z'],
      ['--into', 'y', '--port', '1'],
    ]) {
      const { code } = await cli(fleet.dev.env, ['restore', database, ...wrong]);
      expect({ wrong, code }).toEqual({ wrong, code: 2 });
    }
  });
});
