/** What a bring-up meets on the follower's host: bad files, a full disk, a port that is taken. Nothing is lost by it. */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import process from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/fleet/record.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';
import {
  backUp,
  backlogSize,
  bringUp,
  broughtUp,
  expectAtRest,
  expectNoSecrets,
  failed,
  filesOf,
  killProcess,
  loseDirectory,
  move,
  underWrites,
  untilStep,
} from './bringUpStage.js';

const DATABASE = 'sessions-00';
const OTHER = 'sessions-01';

let fleet: TestFleet;
let leader: Endpoint;
let follower: Endpoint;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 2, name: 'files' });
  leader = await fleet.leader(DATABASE);
  follower = await fleet.follower(DATABASE);
  await loadData({ ...fleet.application, where: leader, megabytes: 3, seed: 1 });
});
afterAll(async () => {
  await fleet.stop();
});

/** A copy of a good backup with something done to it. */
function spoilt(good: string, name: string, spoil: (content: Buffer) => Buffer): string {
  const file = path.join(path.dirname(good), name);
  writeFileSync(file, spoil(readFileSync(good)));
  return file;
}

describe('a backup that is bad', () => {
  test('truncated or foreign is a reason against that way, and another way is taken', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      const good = await backUp(fleet, DATABASE, follower);
      await killProcess(fleet, DATABASE, follower);
      const before = statSync(filesOf(fleet, DATABASE, follower).data).mtimeMs;
      const cut = spoilt(good, 'cut.rdb', (content) => content.subarray(0, content.length / 2));
      const foreign = spoilt(good, 'foreign.rdb', () => Buffer.from('PK\u0003\u0004 this is a zip file'));
      const reasons: Record<string, string> = {
        [cut]: 'it has no end mark: it was cut short',
        [foreign]: 'not with "REDIS" and a version',
        [`${good}.not`]: 'is not there',
      };
      for (const [file, reason] of Object.entries(reasons)) {
        const refused = await failed(
          fleet,
          await bringUp(fleet, { database: DATABASE, backup: { file }, way: 'backup' }),
        );
        expect(refused.kind).toBe('NoSafeWay');
        expect(refused.problem).toContain(file);
        if (file !== `${good}.not`) expect(refused.problem).toContain(reason);
        expect(refused.problem).toContain('nothing was changed');
      }
      expect(statSync(filesOf(fleet, DATABASE, follower).data).mtimeMs).toBe(before);
      await expectAtRest(fleet, DATABASE);
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE, backup: { file: cut } }));
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(leaderForks).toBe(0);
  });

  test('of another database is known by its history, and is not loaded', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      const others = await backUp(fleet, OTHER, await fleet.follower(OTHER));
      const own = await backUp(fleet, DATABASE, follower);
      await loseDirectory(fleet, DATABASE, follower);
      const id = await bringUp(fleet, { database: DATABASE, backup: { file: others } });
      await untilStep(fleet, id, { state: 'waiting for approval' });
      await move(fleet, id, 'abort', 'that was the wrong file');
      const { runbook } = await failed(fleet, id);
      expect(runbook.notes.join('\n')).toMatch(
        new RegExp(
          `Not backup: the backup ${others}: its replication id \\w+… is not one the leader continues`,
        ),
      );
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE, backup: { file: own } }));
    });
    expect(told).toMatchObject({ way: 'backup', leaderForks: 0 });
    expect(leaderForks).toBe(0);
  });

  test('with garbage in its middle is told with the last words of Redis; an abort puts the old file back', async () => {
    const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
      const good = await backUp(fleet, DATABASE, follower);
      await killProcess(fleet, DATABASE, follower);
      const { data } = filesOf(fleet, DATABASE, follower);
      const before = readFileSync(data);
      const backlog = await backlogSize(fleet, leader);
      const file = spoilt(good, 'garbage.rdb', (content) => {
        const third = Math.floor(content.length / 3);
        content.fill(0xee, third, third + 4096);
        return content;
      });
      const id = await bringUp(fleet, { database: DATABASE, backup: { file }, way: 'backup' });
      const { name, progress } = await untilStep(fleet, id, { state: 'stuck' });
      expect(name).toBe('start the follower');
      expect(['BadDataFile', 'ProcessDied']).toContain(progress.kind);
      expect(progress.problem).toMatch(/rdb|RDB|short read/i);
      expect(progress.problem).toMatch(/abort|another backup/i);
      await move(fleet, id, 'abort', 'a broken backup');
      await failed(fleet, id);
      expect(readFileSync(data).equals(before)).toBe(true);
      expect(fleet.pidOf(DATABASE, follower.host)).toBeNull();
      expect(await backlogSize(fleet, leader)).toBe(backlog);
      await expectAtRest(fleet, DATABASE);
      return broughtUp(fleet, await bringUp(fleet, { database: DATABASE }));
    });
    expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
    expect(leaderForks).toBe(0);
  });
});

/** A process that was just killed is gone some milliseconds before its port is free. */
async function squat({ address: host, port }: Endpoint): Promise<Server> {
  // Agents and watches look there: it hangs up on them, else it could not be closed.
  const server = createServer((socket) => socket.destroy()).listen({ host, port });
  await once(server, 'listening');
  return server;
}

test('a port that is taken is named with who has it; freed and retried, it is done', async () => {
  const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
    await fleet.save(DATABASE, follower);
    await killProcess(fleet, DATABASE, follower);
    const squatter = await waitFor(() => squat(follower), { deadlineMs: 30_000, what: 'the port' });
    const id = await bringUp(fleet, { database: DATABASE });
    const { name, progress } = await untilStep(fleet, id, { state: 'stuck' });
    squatter.close();
    await once(squatter, 'close');
    expect(name).toBe('start the follower');
    expect(progress.kind).toBe('PortInUse');
    expect(progress.problem).toContain(
      `${follower.host} (${follower.address}:${follower.port}): the port is in use`,
    );
    expect(progress.problem).toContain(`(pid ${process.pid}) holds it`);
    await move(fleet, id, 'retry', 'the port is free');
    return broughtUp(fleet, id);
  });
  expect(told).toMatchObject({ way: 'own-files', leaderForks: 0 });
  expect(leaderForks).toBe(0);
});

const MAY_MOUNT = process.platform === 'linux' && process.getuid?.() === 0 && canMount();

function canMount(): boolean {
  const folder = `/tmp/redis-fleet-mount-${process.pid}`;
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('a full disk', () => {
  let mounted: string | null = null;
  afterEach(() => {
    if (mounted !== null) execFileSync('umount', ['-l', mounted]);
    mounted = null;
  });

  // Only root may mount a small disk.
  test.skipIf(!MAY_MOUNT)(
    'on the follower is said with its path; the abort cleans up; with room it is done',
    async () => {
      const { told, leaderForks } = await underWrites(fleet, DATABASE, async () => {
        const file = await backUp(fleet, DATABASE, follower);
        await loseDirectory(fleet, DATABASE, follower);
        const { directory, data } = filesOf(fleet, DATABASE, follower);
        mkdirSync(directory);
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', directory]);
        mounted = directory;
        const id = await bringUp(fleet, { database: DATABASE, backup: { file } });
        const { name, progress } = await untilStep(fleet, id, { state: 'stuck' });
        expect(name).toBe('start the follower');
        expect(progress.kind).toBe('DiskFull');
        expect(progress.problem).toContain(`df -h ${directory}`);
        expect(progress.problem).toContain('The data file that was there before is as it was.');
        expect(() => statSync(data)).toThrow('ENOENT');
        await move(fleet, id, 'abort', 'a larger disk is needed');
        expect((await failed(fleet, id)).kind).toBe('RunbookAborted');
        await expectAtRest(fleet, DATABASE);

        const second = await bringUp(fleet, { database: DATABASE, backup: { file } });
        await untilStep(fleet, second, { state: 'stuck' });
        execFileSync('mount', ['-o', 'remount,size=64m', directory]);
        await move(fleet, second, 'retry', 'there is room now');
        const result = await broughtUp(fleet, second);
        // It lies on a disk that goes: the story ends here for that process.
        return result;
      });
      expect(told).toMatchObject({ way: 'backup', leaderForks: 0 });
      expect(leaderForks).toBe(0);
      await killProcess(fleet, DATABASE, follower);
    },
  );
});

test('no password is in any history or log', async () => {
  expect(await expectNoSecrets(fleet)).toBeGreaterThan(6);
});
