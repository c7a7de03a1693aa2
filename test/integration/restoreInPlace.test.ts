/** Data comes back from a backup into the database that it is of: when all is lost, and when it only is wrong. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeBackup } from '../../src/testbed/backups.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { REPLACE, START } from '../../src/workflows/restoreOutline.js';
import {
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectAtRest,
  failed,
  filesOf,
  killProcess,
  loseDirectory,
  move,
  untilStep,
} from './bringUpStage.js';
import { APPROVED, expectNothingFetched, read, restore, restored, write } from './restoreStage.js';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 4, name: 'inplace', policy: 'automatic' });
  for (const database of fleet.databases) {
    const where = await fleet.leader(database);
    await loadData({ ...fleet.application, where, megabytes: 1, seed: 1 });
  }
});
afterAll(async () => {
  await fleet.stop();
});

/** Nothing of a restore is left on the hosts. */
async function expectTidy(database: string): Promise<void> {
  const { leader, follower } = await fleet.record(database);
  for (const endpoint of [leader, follower]) {
    if (endpoint === null) continue;
    const files = filesOf(fleet, database, endpoint);
    expect(existsSync(files.previousData)).toBe(false);
    expect(existsSync(files.placement)).toBe(false);
  }
  expectNothingFetched(fleet, database);
}

describe('a restore in place', () => {
  test('brings a database back whose leader and follower were destroyed, and nobody forks', async () => {
    const [database = ''] = fleet.databases;
    const { leader, follower, epoch } = await fleet.record(database);
    await write(fleet, database, 'in the backup', 'yes');
    const { keys } = await fleet.facts(leader);
    const backup = await makeBackup(fleet, database);
    await write(fleet, database, 'after the backup', 'yes');
    if (follower === null) throw new Error('It has no follower.');
    await loseDirectory(fleet, database, follower);
    await loseDirectory(fleet, database, leader);

    const id = await restore(fleet, { database });
    const { progress } = await untilStep(fleet, id, { state: 'waiting for approval', step: REPLACE.name });
    expect(progress.danger).toMatch(
      new RegExp(
        `^All data of ${database} is replaced by backup ${backup.id}: \\d+ s old \\(as of .+\\), .+, ${keys} keys;`,
      ),
    );
    expect(progress.danger).toContain('how much that is nobody can tell');
    expect(progress.danger).toContain('does not run, and has no data file');
    await move(fleet, id, 'approve', 'both are gone');
    const result = await restored(fleet, id);

    expect(result).toMatchObject({
      database,
      backup: backup.id,
      keys,
      leader,
      follower,
      leaderForks: 0,
      epoch: epoch + 1,
      passedOver: [],
    });
    expect(await fleet.record(database)).toMatchObject({ leader, follower, epoch: epoch + 1 });
    await caughtUpFollower(fleet, database);
    expect((await fleet.facts(leader)).totalForks).toBe(0);
    for (const endpoint of [leader, follower]) {
      expect(await read(fleet, endpoint, 'in the backup')).toBe('yes');
      expect(await read(fleet, endpoint, 'after the backup')).toBeNull();
    }
    await write(fleet, database, 'afterwards', 'yes');
    expect(await read(fleet, follower, 'afterwards')).toBe('yes');
    await expectAtRest(fleet, database);
    await expectTidy(database);
  });

  test('of processes that are dead says what their files tell of what is lost', async () => {
    const [, database = ''] = fleet.databases;
    const { leader, follower } = await fleet.record(database);
    if (follower === null) throw new Error('It has no follower.');
    await makeBackup(fleet, database);
    await write(fleet, database, 'after the backup', 'x'.repeat(10_000));
    await fleet.save(database, follower);
    await killProcess(fleet, database, follower);
    await killProcess(fleet, database, leader);
    const id = await restore(fleet, { database, approved: APPROVED });
    const result = await restored(fleet, id);
    expect(result.loss.source).toEqual(follower);
    expect(result.loss.bytes).toBeGreaterThan(10_000);
    expect(result.loss.bytes).toBeLessThan(12_000);
    expect(await read(fleet, leader, 'after the backup')).toBeNull();
    await caughtUpFollower(fleet, database);
    await expectAtRest(fleet, database);
    await expectTidy(database);
  });

  test('of a database that serves replaces its data, and only after approval by name', async () => {
    const [, , database = ''] = fleet.databases;
    const { leader, follower } = await fleet.record(database);
    await write(fleet, database, 'state', 'good');
    const backup = await makeBackup(fleet, database);
    await write(fleet, database, 'state', 'bad');
    const id = await restore(fleet, { database, from: backup.id });
    const { progress } = await untilStep(fleet, id, { state: 'waiting for approval', step: REPLACE.name });
    expect(progress.danger).toContain(`as far as ${leader.host} (`);
    expect(await read(fleet, leader, 'state')).toBe('bad');
    await write(fleet, database, 'still', 'serves');
    await move(fleet, id, 'approve', 'the last release wrote nonsense');
    expect(await restored(fleet, id)).toMatchObject({ leader, follower, leaderForks: 0 });
    expect(await read(fleet, leader, 'state')).toBe('good');
    const caughtUp = await caughtUpFollower(fleet, database);
    expect(await read(fleet, caughtUp, 'state')).toBe('good');
    expect((await fleet.facts(leader)).totalForks).toBe(0);
    await expectAtRest(fleet, database);
    await expectTidy(database);
  });

  test('that loaded less than it should takes no writes; aborted, it puts back all that was acknowledged', async () => {
    const [, , , database = ''] = fleet.databases;
    const { leader, follower, epoch } = await fleet.record(database);
    if (follower === null) throw new Error('It has no follower.');
    const backup = await makeBackup(fleet, database);
    await write(fleet, database, 'after the backup', 'acknowledged');
    // As if its last check had found more in it than Redis will load.
    const proof = backup.manifestFile.replace('.json', '.sound.json');
    const said: unknown = JSON.parse(readFileSync(proof, 'utf8'));
    writeFileSync(proof, JSON.stringify({ ...(said as object), keys: 1_000_000 }));
    const id = await restore(fleet, { database, approved: APPROVED });
    const { progress } = await untilStep(fleet, id, { state: 'stuck', step: START.name });
    expect(progress.problem).toContain(`which has 1000000 keys, and holds `);
    await move(fleet, id, 'abort', 'the other backup is better');
    const end = await failed(fleet, id);
    expect(end.kind).toBe('RunbookAborted');
    expect(end.runbook.steps.find(({ name }) => name === REPLACE.name)?.progress.state).toBe('undone');
    expect(await fleet.record(database)).toMatchObject({ leader, follower, epoch });
    expect(await read(fleet, leader, 'after the backup')).toBe('acknowledged');
    await caughtUpFollower(fleet, database);
    expect((await fleet.facts(leader)).totalForks).toBe(0);
    await write(fleet, database, 'afterwards', 'yes');
    expect(await read(fleet, follower, 'afterwards')).toBe('yes');
    await expectAtRest(fleet, database);
    await expectTidy(database);
  });

  test('onto the other host fences a leader whose agent is gone, and does without a follower there', async () => {
    const [, , database = ''] = fleet.databases;
    const { leader, follower, epoch } = await fleet.record(database);
    if (follower === null) throw new Error('It has no follower.');
    const backup = await makeBackup(fleet, database);
    await fleet.dev.hold(`agent:${leader.host}`);
    const refused = await failed(fleet, await restore(fleet, { database, approved: APPROVED }));
    expect(refused.problem).toContain(`redis-fleet restore ${database} --host ${follower.host}`);
    const id = await restore(fleet, { database, host: follower.host, approved: APPROVED });
    const result = await restored(fleet, id);
    expect(result).toMatchObject({ backup: backup.id, leader: follower, follower: null, leaderForks: 0 });
    expect(await fleet.record(database)).toMatchObject({
      leader: follower,
      follower: null,
      epoch: epoch + 1,
    });
    // It was told over the network, and follows nobody.
    expect(await fleet.facts(leader)).toMatchObject({ role: 'follower', link: { up: false } });
    await write(fleet, database, 'afterwards', 'yes');
    expect(await read(fleet, leader, 'afterwards')).toBeNull();
    await fleet.dev.release(`agent:${leader.host}`);
    const told = await broughtUp(fleet, await bringUp(fleet, { database, host: leader.host }));
    expect(told).toMatchObject({ way: 'backup', leaderForks: 0, follower: leader });
    expect(await read(fleet, await caughtUpFollower(fleet, database), 'afterwards')).toBe('yes');
    await expectAtRest(fleet, database);
  });
});
