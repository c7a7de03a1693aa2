/** Data files: what is refused, what is put in place, and that every way back leads to what was there before. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import {
  placeCopy,
  placeEmpty,
  restorePrevious,
  setAside,
  settleLeftover,
} from '../../src/host/dataFiles.js';
import { processFiles, type ProcessFiles } from '../../src/host/layout.js';
import { writeEmptyRdb } from '../../src/fleet/rdbFile.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { freePort, stageHost, type HostStage } from './hostStage.js';

const MiB = 1024 * 1024;
const ID = 'ab'.repeat(20);

let host: HostStage;
let files: ProcessFiles;
let backup: string;

/** A backup as a real follower wrote it, with a key in it that tells which one it is. */
async function realBackup(name: string, key: string): Promise<string> {
  const spec = host.spec('source');
  await host.activities.startProcess({ process: spec, allowEmpty: true });
  await host.lead(spec);
  await host.use(spec, (redis) => redis.set('which', key));
  await host.activities.stopProcess({ database: 'source', save: true });
  const target = path.join(host.settings.data, name);
  copyFileSync(processFiles(host.settings.data, 'source').data, target);
  await host.activities.removeProcess({ database: 'source' });
  return target;
}

beforeEach(async () => {
  host = await stageHost();
  files = processFiles(host.settings.data, 'sessions-00');
  backup = path.join(host.settings.data, 'backup.rdb');
  writeFileSync(backup, writeEmptyRdb({ id: ID, offset: 4711 }));
});

afterEach(async () => {
  await host.end();
});

const names = (): string[] => readdirSync(files.directory).sort();

describe('a data file', () => {
  it('of a real Redis is read with its place in the replication history', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.activities.stopProcess({ database: 'sessions-00', save: true });
    await host.activities.placeSeed({ database: 'sessions-00', position: { id: ID, offset: 123 } });
    await host.activities.startProcess({ process: spec, allowEmpty: false });
    expect((await host.facts(spec)).position).toEqual({ id: ID, offset: 123 });
    await host.activities.stopProcess({ database: 'sessions-00', save: true });

    const found = await host.activities.readDataFile({ database: 'sessions-00' });
    expect(found).toMatchObject({
      path: files.data,
      bytes: statSync(files.data).size,
      header: { position: { id: ID, offset: 123 } },
    });
    expect(found?.header.redisVersion).toMatch(/^\d+\.\d+\.\d+$/);
    expect(Date.parse(found?.header.createdAt ?? '')).toBeGreaterThan(Date.now() - 60_000);
  });

  it.each([
    ['truncated', 'REDIS0010', /ends within its header/],
    ['foreign', 'PK\u0003\u0004 not ours', /begins with/],
    ['empty', '', /the file is empty/],
  ])('that is %s is refused before anything is replaced', async (_kind, content, why) => {
    await host.activities.placeBackup({ database: 'sessions-00', file: backup });
    const bad = path.join(host.settings.data, 'bad.rdb');
    writeFileSync(bad, content);
    for (const attempt of [
      () => host.activities.readBackupFile({ file: bad }),
      () => host.activities.placeBackup({ database: 'sessions-00', file: bad }),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ kind: 'BadDataFile' });
      await expect(attempt()).rejects.toThrow(why);
    }
    expect(readFileSync(files.data).equals(readFileSync(backup))).toBe(true);
  });

  it('that was cut short anywhere is refused', async () => {
    const real = await realBackup('real.rdb', 'x');
    const whole = statSync(real).size;
    for (const length of [whole - 1, whole - 8, whole - 9, Math.floor(whole / 2), 20]) {
      const cut = path.join(host.settings.data, `cut-${length}.rdb`);
      copyFileSync(real, cut);
      truncateSync(cut, length);
      await expect(
        host.activities.readBackupFile({ file: cut }),
        `${length} of ${whole}`,
      ).rejects.toMatchObject({
        kind: 'BadDataFile',
      });
    }
    await expect(host.activities.readBackupFile({ file: real })).resolves.toMatchObject({ bytes: whole });
  });

  it('that is not there, is a directory, or has no absolute path is told as that', async () => {
    await expect(host.activities.readBackupFile({ file: '/nowhere/dump.rdb' })).rejects.toMatchObject({
      kind: 'NotFound',
    });
    await expect(host.activities.readBackupFile({ file: host.settings.data })).rejects.toMatchObject({
      kind: 'BadDataFile',
    });
    await expect(
      host.activities.placeBackup({ database: 'sessions-00', file: 'backup.rdb' }),
    ).rejects.toMatchObject({ kind: 'InvalidRequest' });
    await expect(host.activities.readDataFile({ database: '../etc' })).rejects.toMatchObject({
      kind: 'InvalidRequest',
    });
  });

  it('of a running process is not replaced', async () => {
    await host.activities.startProcess({ process: host.spec('sessions-00'), allowEmpty: true });
    for (const attempt of [
      host.activities.placeBackup({ database: 'sessions-00', file: backup }),
      host.activities.placeSeed({ database: 'sessions-00', position: { id: ID, offset: 1 } }),
      host.activities.setDataFileAside({ database: 'sessions-00' }),
      host.activities.restoreDataFile({ database: 'sessions-00' }),
    ])
      await expect(attempt).rejects.toThrow(/runs on redis-09-a.*Stop it first/);
  });
});

describe('a placement', () => {
  const original = (): void => {
    mkdirSync(files.directory, { recursive: true });
    writeFileSync(files.data, writeEmptyRdb({ id: ID, offset: 1 }));
  };
  const offset = async (): Promise<number | undefined> =>
    (await host.activities.readDataFile({ database: 'sessions-00' }))?.header.position?.offset;

  it('can be undone where there was a file, and where there was none', async () => {
    await host.activities.placeBackup({ database: 'sessions-00', file: backup });
    expect(await offset()).toBe(4711);
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    expect(names()).toEqual([]);

    original();
    await host.activities.placeBackup({ database: 'sessions-00', file: backup });
    expect(await offset()).toBe(4711);
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    expect(await offset()).toBe(1);
    expect(names()).toEqual(['dump.rdb']);
  });

  it('ends the same whichever of its steps is repeated', async () => {
    original();
    const place = () => host.activities.placeBackup({ database: 'sessions-00', file: backup });
    const seed = () =>
      host.activities.placeSeed({ database: 'sessions-00', position: { id: ID, offset: 9 } });
    const aside = () => host.activities.setDataFileAside({ database: 'sessions-00' });
    for (const step of [place, place, seed, seed, aside, aside, place, seed]) await step();
    expect(await offset()).toBe(9);
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    expect(await offset()).toBe(1);
    expect(names()).toEqual(['dump.rdb']);
  });

  it('left by a run that is over: what it put there stays, what it only moved aside comes back', async () => {
    const files = processFiles(host.settings.data, 'sessions-00');
    original();
    await setAside(files, 'run-1');
    expect(names()).not.toContain('dump.rdb');
    await settleLeftover(files, 'run-1');
    expect(names()).not.toContain('dump.rdb');
    await settleLeftover(files, 'run-2');
    expect(await offset()).toBe(1);
    expect(names()).toEqual(['dump.rdb']);

    await placeEmpty(files, 'run-3', { id: ID, offset: 9 });
    await settleLeftover(files, 'run-4');
    await setAside(files, 'run-4');
    await restorePrevious(files);
    expect(await offset()).toBe(9);
    expect(names()).toEqual(['dump.rdb']);
  });

  it('that stands forgets the way back, and the next one keeps what is there then', async () => {
    original();
    await host.activities.placeBackup({ database: 'sessions-00', file: backup });
    await host.activities.forgetPreviousDataFile({ database: 'sessions-00' });
    await host.activities.forgetPreviousDataFile({ database: 'sessions-00' });
    expect(names()).toEqual(['dump.rdb']);
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    expect(await offset()).toBe(4711);
    await host.activities.placeSeed({ database: 'sessions-00', position: { id: ID, offset: 9 } });
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    expect(await offset()).toBe(4711);
  });

  it('keeps aside what a process wrote since, not what was there a placement ago', async () => {
    original();
    await host.activities.placeBackup({ database: 'sessions-00', file: backup });
    // Never told to forget; then a process ran and saved.
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: false });
    await host.lead(spec);
    await host.use(spec, (redis) => redis.set('written', 'since'));
    await host.activities.stopProcess({ database: 'sessions-00', save: true });
    const since = readFileSync(files.data);
    await host.activities.placeSeed({ database: 'sessions-00', position: { id: ID, offset: 9 } });
    await host.activities.restoreDataFile({ database: 'sessions-00' });
    expect(readFileSync(files.data).equals(since)).toBe(true);
  });

  it('is private, whatever the backup was', async () => {
    await host.activities.placeBackup({ database: 'sessions-00', file: backup });
    expect(statSync(files.data).mode & 0o077).toBe(0);
    expect(statSync(files.directory).mode & 0o007).toBe(0);
  });

  it('that was killed at any moment is finished by a retry, or undone', async () => {
    const large = path.join(host.settings.data, 'large.rdb');
    writeFileSync(
      large,
      Buffer.concat([
        writeEmptyRdb({ id: ID, offset: 77 }),
        Buffer.alloc(96 * MiB),
        Buffer.from([0xff]),
        Buffer.alloc(8),
      ]),
    );
    const runner = path.resolve('node_modules/vite-node/vite-node.mjs');
    const script = path.resolve('test/integration/hostPlacing.ts');
    let killedInTheMiddle = 0;
    const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? -1;
    const moments: readonly (readonly [name: string, reached: () => boolean])[] = [
      ['before it began', () => true],
      ['when the copy began', () => sizeOf(files.incomingData) >= 0],
      ['in the middle of the copy', () => sizeOf(files.incomingData) > 40 * MiB],
      ['when the file before was kept aside', () => existsSync(files.previousData)],
      ['when the placement was noted', () => existsSync(files.placement)],
      ['at its end', () => sizeOf(files.data) === statSync(large).size],
    ];
    for (const [moment, reached] of moments) {
      original();
      const child = spawn(
        process.execPath,
        [runner, '--script', script, host.settings.data, 'sessions-00', large],
        {
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      await waitFor(() => child.exitCode !== null || reached(), {
        deadlineMs: 30_000,
        what: moment,
        everyMs: 1,
      });
      child.kill('SIGKILL');
      await ended;
      if (existsSync(files.incomingData)) killedInTheMiddle += 1;

      await host.activities.placeBackup({ database: 'sessions-00', file: large });
      expect(await offset()).toBe(77);
      expect(statSync(files.data).size).toBe(statSync(large).size);
      expect(existsSync(files.incomingData)).toBe(false);
      await host.activities.restoreDataFile({ database: 'sessions-00' });
      expect(await offset(), `killed ${moment}`).toBe(1);
      expect(names()).toEqual(['dump.rdb']);
    }
    expect(killedInTheMiddle).toBeGreaterThan(0);
  });
});

describe('a seeded follower', () => {
  it('joins a leader that is still empty without a full synchronisation', async () => {
    const leader = host.spec('leader');
    const follower = host.spec('sessions-00');
    await host.activities.startProcess({ process: leader, allowEmpty: true });
    await host.lead(leader);
    // A leader has a backlog, and so a place in history, once it had a follower: here one that the gate keeps waiting.
    const starter = host.spec('starter');
    await host.activities.startProcess({ process: starter, allowEmpty: true });
    await host.use(starter, (redis) => redis.call('REPLICAOF', host.settings.address, leader.port));
    await waitFor(async () => (await host.facts(leader)).backlog.active, {
      deadlineMs: 30_000,
      what: 'a backlog',
    });

    const { position } = await host.facts(leader);
    await host.activities.placeSeed({ database: 'sessions-00', position });
    await host.activities.startProcess({ process: follower, allowEmpty: false });
    await host.use(follower, (redis) => redis.call('REPLICAOF', host.settings.address, leader.port));
    await waitFor(async () => (await host.facts(follower)).link?.up, {
      deadlineMs: 30_000,
      what: 'the link',
    });
    await host.use(leader, (redis) => redis.set('after', 'the seed'));
    await waitFor(
      async () => (await host.facts(follower)).position.offset === (await host.facts(leader)).position.offset,
      { deadlineMs: 30_000, what: 'equal offsets' },
    );
    expect(await host.use(follower, (redis) => redis.get('after'))).toBe('the seed');
    const links = (await host.facts(leader)).replicas;
    // Followers are known by their host's address and port.
    expect(links.map(({ port, address, state }) => [address, port, state]).sort()).toEqual(
      [
        [host.settings.address, follower.port, 'online'],
        [host.settings.address, starter.port, 'wait_bgsave'],
      ].sort(),
    );
    expect((await host.facts(leader)).totalForks).toBe(0);
  });
});

describe('a full disk', () => {
  function fill(file: string): void {
    for (;;) {
      try {
        appendFileSync(file, Buffer.alloc(4096));
      } catch {
        return;
      }
    }
  }

  /** A file system of a few megabytes, which only root can mount. */
  async function withSmallDisk(context: TestContext, work: (disk: string) => Promise<void>): Promise<void> {
    const disk = path.join(host.settings.data, 'small');
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', disk], { stdio: 'pipe' });
    } catch (error) {
      context.skip(`no small file system can be mounted here: ${String(error)}`);
    }
    try {
      await work(disk);
    } finally {
      execFileSync('umount', ['--lazy', disk]);
    }
  }

  it('refuses a backup in words, removes the half-made copy and keeps the file before', async (context) => {
    await withSmallDisk(context, async (disk) => {
      const small = processFiles(disk, 'sessions-00');
      await placeEmpty(small, 'run-1', { id: ID, offset: 1 });
      const large = path.join(host.settings.data, 'large.rdb');
      writeFileSync(
        large,
        Buffer.concat([readFileSync(backup), Buffer.alloc(8 * MiB), Buffer.from([0xff]), Buffer.alloc(8)]),
      );
      await expect(placeCopy(small, 'run-1', large)).rejects.toMatchObject({
        kind: 'DiskFull',
        message: expect.stringMatching(/bytes left, and .* has .*Make room/) as string,
      });
      // One that fits by the numbers, on a disk that fills up meanwhile.
      fill(path.join(disk, 'ballast'));
      await expect(placeEmpty(small, 'run-1', { id: ID, offset: 2 })).rejects.toMatchObject({
        kind: 'DiskFull',
      });
      expect(readdirSync(small.directory).sort()).toEqual(['dump.rdb', 'placement.json']);
      expect(readFileSync(small.data).equals(writeEmptyRdb({ id: ID, offset: 1 }))).toBe(true);
    });
  });

  it('does not cost a process its data when it shall save and stop', async (context) => {
    await withSmallDisk(context, async (disk) => {
      const cramped = await stageHost({ data: disk });
      try {
        const spec = cramped.spec('sessions-00', { port: await freePort(cramped.settings.address) });
        await cramped.activities.startProcess({ process: spec, allowEmpty: true });
        await cramped.lead(spec);
        for (let at = 0; at < 10; at++) {
          // Random text: nothing to compress.
          const value = Buffer.from(crypto.getRandomValues(new Uint8Array(65536))).toString('base64');
          await cramped.use(spec, (redis) =>
            redis.mset(...Array.from({ length: 8 }, (_, i) => [`k${at}-${i}`, `${value}${i}`]).flat()),
          );
        }
        const { keys } = await cramped.facts(spec);
        await expect(
          cramped.activities.stopProcess({ database: 'sessions-00', save: true }),
        ).rejects.toMatchObject({
          kind: 'DiskFull',
          message: expect.stringContaining('It runs on with all its data') as string,
        });
        expect((await cramped.facts(spec)).keys).toBe(keys);
      } finally {
        await cramped.activities.stopProcess({ database: 'sessions-00', save: false });
        await cramped.activities.removeProcess({ database: 'sessions-00' });
      }
    });
  });
});
