/** A follower is brought up from the store by itself, where nothing else spares its leader as much. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/fleet/record.js';
import { makeBackup } from '../../src/testbed/backups.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import {
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectAtRest,
  failed,
  loseDirectory,
  move,
  underWrites,
  untilStep,
} from './bringUpStage.js';
import { expectNothingFetched, flipByte, write } from './restoreStage.js';

let fleet: TestFleet;
let database: string;
let leader: Endpoint;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 1, name: 'fromstore' });
  [database = ''] = fleet.databases;
  leader = await fleet.leader(database);
  follower = await fleet.follower(database);
  await loadData({ ...fleet.application, where: leader, megabytes: 2, seed: 1 });
});
afterAll(async () => {
  await fleet.stop();
});

describe('a follower whose data is lost', () => {
  test('starts from the newest verified backup, and its leader does not fork', async () => {
    await makeBackup(fleet, database);
    const newest = await makeBackup(fleet, database);
    await makeBackup(fleet, database, { verified: false });
    const { told, leaderForks } = await underWrites(fleet, database, async () => {
      await loseDirectory(fleet, database, follower);
      return broughtUp(fleet, await bringUp(fleet, { database }));
    });
    expect(told).toMatchObject({ way: 'backup', leaderForks: 0, follower });
    expect(told.why).toContain(`the backup ${newest.id} of ${newest.manifest.times.taken} in the store is `);
    expect(told.rejected.map(({ way }) => way)).toEqual(['own-files']);
    expect(leaderForks).toBe(0);
    await expectAtRest(fleet, database);
    expectNothingFetched(fleet, database);
  });

  test('starts from an older backup where the newest was damaged since it was verified', async () => {
    const older = await makeBackup(fleet, database);
    const newest = await makeBackup(fleet, database);
    flipByte(newest.data);
    await loseDirectory(fleet, database, follower);
    const told = await broughtUp(fleet, await bringUp(fleet, { database }));
    expect(told).toMatchObject({ way: 'backup', leaderForks: 0 });
    expect(told.why).toContain(newest.id);
    await caughtUpFollower(fleet, database);
    // Found once, it is never taken for verified again: the next one asks for the older from the start.
    await loseDirectory(fleet, database, follower);
    const again = await broughtUp(fleet, await bringUp(fleet, { database, way: 'backup' }));
    expect(again.why).toContain(older.id);
    expectNothingFetched(fleet, database);
  });

  test('is told how much of the stream is gone when no backup is young enough', async () => {
    const newest = await makeBackup(fleet, database);
    await loseDirectory(fleet, database, follower);
    // More than the 16 MiB that the leader's backlog holds.
    await loadData({ ...fleet.application, where: leader, megabytes: 20, seed: 2 });
    const id = await bringUp(fleet, { database });
    const { progress } = await untilStep(fleet, id, { state: 'waiting for approval' });
    expect(progress.danger).toContain('will fork once');
    await move(fleet, id, 'abort', 'not now');
    const { runbook } = await failed(fleet, id);
    expect(runbook.notes.join('\n')).toMatch(
      new RegExp(
        `Not backup: the backup ${newest.id} .+ the leader's backlog begins at \\d+: \\d+ bytes are gone`,
      ),
    );
    const refused = await failed(fleet, await bringUp(fleet, { database, way: 'backup' }));
    expect(refused.kind).toBe('NoSafeWay');
    expect(refused.problem).toContain('bytes are gone');
    await write(fleet, database, 'the leader', 'serves');
    expect((await fleet.facts(leader)).totalForks).toBe(0);
  });
});
