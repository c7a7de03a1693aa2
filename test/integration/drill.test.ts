/** Backups are tried out for real, and nobody who serves notices. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { DrillBackupsRequest } from '../../src/fleet/requests.js';
import { findRedis } from '../../src/host/procfs.js';
import type { ProcessFiles } from '../../src/host/layout.js';
import { drillStore } from '../../src/records/drills.js';
import { backupsOf, makeBackup } from '../../src/testbed/backups.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { forksBetween, leaderForks } from '../../src/testbed/forks.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import type { DrilledBackups } from '../../src/workflows/drillBackups.js';
import { SECOND } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import { flipByte } from './restoreStage.js';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 3, name: 'drill' });
  for (const database of fleet.databases) {
    const where = await fleet.leader(database);
    await loadData({ ...fleet.application, where, megabytes: 1, seed: 1 });
  }
});
afterAll(async () => {
  await fleet.stop();
});

async function start(request: DrillBackupsRequest, name = request.database ?? 'due'): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name };
  const started = await startRunbook(fleet.dev.temporal, 'drillBackups', name, request, subject);
  return started.workflowId;
}

async function drilled(workflowId: string): Promise<DrilledBackups> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  return end.result as DrilledBackups;
}

const drills = () => drillStore(fleet.dev.consul, fleet.dev.fleet.name).list();

/** On every host: no process, no file. */
function expectNothingLeft(): void {
  for (const { name } of fleet.dev.fleet.servers.flatMap(({ hosts }) => hosts)) {
    const directory = path.join(fleet.dev.data.host(name), '.drill');
    expect(findRedis({ directory, pid: path.join(directory, 'redis.pid') } as ProcessFiles)).toBeNull();
    expect(existsSync(directory)).toBe(false);
  }
}

describe('a drill', () => {
  test('of all that are due loads each backup, compares and measures it, and leaves nothing behind', async () => {
    const [first = '', second = '', third = ''] = fleet.databases;
    const backup = await makeBackup(fleet, first);
    await makeBackup(fleet, second);
    const before = await leaderForks(fleet);
    const result = await drilled(await start({}));
    expect(result).toMatchObject({ passed: 2, failed: 0 });
    expect(result.outcomes.find(({ database }) => database === third)).toMatchObject({
      how: 'left',
      why: `${third} has no verified backup`,
    });
    const [record] = (await drills()).filter(({ database }) => database === first);
    const { keys } = await fleet.facts(await fleet.leader(first));
    expect(record).toMatchObject({ passed: true, why: null, backup: backup.id, keys, sampled: 264 });
    expect(record?.seconds).toBeGreaterThan(0);
    expect(record?.lastPassed).toBe(record?.at);
    const { forks, notComparable } = forksBetween(before, await leaderForks(fleet));
    expect({ forks, notComparable }).toEqual({ forks: 0, notComparable: [] });
    const shown = await cli(fleet.dev.env, ['backups', 'show', first]);
    expect(shown.out).toContain(`Last drill: ${record?.at ?? ''}, of backup ${backup.id} on `);
    expectNothingLeft();
    // Nothing is due so soon but for the one without a backup.
    const again = await drilled(await start({}));
    expect(again.outcomes.map(({ database }) => database)).toEqual([third]);
  });

  test('finds a backup that was damaged since, and one that holds less than it should; the check says so', async () => {
    const [first = '', second = ''] = fleet.databases;
    const passed = (await drills()).find(({ database }) => database === first)?.lastPassed;
    const damaged = await makeBackup(fleet, first);
    flipByte(damaged.data);
    const short = await makeBackup(fleet, second);
    const proof = short.manifestFile.replace('.json', '.sound.json');
    const said: unknown = JSON.parse(readFileSync(proof, 'utf8'));
    writeFileSync(proof, JSON.stringify({ ...(said as object), keys: 1_000_000 }));

    const run = await cli(fleet.dev.env, ['backups', 'drill', first]);
    expect(run.code).toBe(1);
    expect(run.out).toContain(`${first}: the drill FAILED, of backup ${damaged.id}`);
    const result = await drilled(await start({ database: second }));
    expect(result).toMatchObject({ passed: 0, failed: 1 });
    const found = await drills();
    expect(found.find(({ database }) => database === first)).toMatchObject({
      passed: false,
      backup: damaged.id,
      why: expect.stringContaining('was altered in the store') as string,
      lastPassed: passed,
    });
    expect(found.find(({ database }) => database === second)?.why).toMatch(
      /^It has \d+ keys when it is loaded, and had 1000000 when it was verified\.$/,
    );
    // Nobody takes it for verified any more.
    expect((await backupsOf(fleet, first)).find(({ id }) => id === damaged.id)?.proof).toBe('unsound');
    const check = await cli(fleet.dev.env, ['check']);
    expect(check.code).toBe(1);
    expect(check.out).toContain(`FAIL  The last drill of ${first} (`);
    expect(check.out).toContain(`Try again: redis-fleet backups drill ${second}`);
    expectNothingLeft();
    // The next older one is good, and is what a restore would take.
    expect(await drilled(await start({ database: first }))).toMatchObject({ passed: 1 });
  });

  test('finds values that are not those of the backup', async () => {
    const [, second = ''] = fleet.databases;
    const { manifest, manifestFile } = await makeBackup(fleet, second);
    expect(manifest.sample).toMatchObject({ keys: 64 });
    // As if other values had been stored: everything else fits.
    const other = { keys: 64, sha256: 'a'.repeat(64) };
    writeFileSync(manifestFile, JSON.stringify({ ...manifest, sample: other }));
    expect(await drilled(await start({ database: second }))).toMatchObject({ passed: 0, failed: 1 });
    expect((await drills()).find(({ database }) => database === second)?.why).toContain(
      'Of 64 keys that its manifest has a checksum of, 64 are there when it is loaded, or they hold other values.',
    );
    expectNothingLeft();
  });

  test('whose agent is killed in the middle of it is done again, and leaves nothing behind', async () => {
    const [, , third = ''] = fleet.databases;
    const where = await fleet.leader(third);
    await loadData({ ...fleet.application, where, megabytes: 30, seed: 3 });
    await makeBackup(fleet, third);
    const host = (await fleet.follower(third)).host;
    const directory = path.join(fleet.dev.data.host(host), '.drill');
    const id = await start({ database: third, host });
    await waitFor(() => existsSync(path.join(directory, 'redis.conf')), {
      deadlineMs: 60 * SECOND,
      everyMs: 2,
      what: 'a drill in the middle of it',
    });
    await fleet.dev.kill(`agent:${host}`);
    expect(await drilled(id)).toMatchObject({ passed: 1, failed: 0 });
    expectNothingLeft();
  });
});
