/** What an agent concludes from what it sees: memory under limits, the catalog, a log's last words. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HostProcess } from '../../src/fleet/facts.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { lookAtMemory } from '../../src/host/hostMemory.js';
import { causeOfDeath, readLastWords } from '../../src/host/lastWords.js';
import { catalogChanges, type CatalogInput } from '../../src/host/registrations.js';
import { readDiskAvailable, readMachineMemory } from '../../src/host/resources.js';
import { sayOnce } from '../../src/host/sayOnce.js';
import type { Registration } from '../../src/records/catalog.js';

const MiB = 1024 * 1024;
let root: string;

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'redis-fleet-facts-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(file: string, content: string): void {
  const at = path.join(root, file);
  mkdirSync(path.dirname(at), { recursive: true });
  writeFileSync(at, content);
}

describe('the memory of a host', () => {
  beforeEach(() => {
    write(
      'proc/meminfo',
      'MemTotal:       8388608 kB\nMemFree:         100000 kB\nMemAvailable:   4194304 kB\n',
    );
  });

  it("is the kernel's when nothing limits it", async () => {
    write('proc/self/cgroup', '0::/\n');
    expect((await readMachineMemory(root)).memory).toEqual({ total: 8192 * MiB, available: 4096 * MiB });
  });

  it("is its cgroup's when that allows less (v2), and unused file pages count as available", async () => {
    write('proc/self/cgroup', '0::/system.slice/agent.service\n');
    const own = 'sys/fs/cgroup/system.slice/agent.service';
    write(`${own}/memory.max`, `${1024 * MiB}\n`);
    write(`${own}/memory.current`, `${600 * MiB}\n`);
    write(`${own}/memory.stat`, `anon 5\ninactive_file ${100 * MiB}\n`);
    expect((await readMachineMemory(root)).memory).toEqual({ total: 1024 * MiB, available: 524 * MiB });
  });

  it("is the enclosing cgroup's when that is the tighter one (v2)", async () => {
    write('proc/self/cgroup', '0::/system.slice/agent.service\n');
    write('sys/fs/cgroup/system.slice/agent.service/memory.max', 'max\n');
    write('sys/fs/cgroup/system.slice/agent.service/memory.current', `${600 * MiB}\n`);
    write('sys/fs/cgroup/system.slice/memory.max', `${2048 * MiB}\n`);
    write('sys/fs/cgroup/system.slice/memory.current', `${2000 * MiB}\n`);
    expect((await readMachineMemory(root)).memory).toEqual({ total: 2048 * MiB, available: 48 * MiB });
  });

  it("is its cgroup's when that allows less (v1), also where the path is a container's", async () => {
    write('proc/self/cgroup', '9:name=systemd:/x\n4:cpu,memory:/docker/abc\n0::/\n');
    write('sys/fs/cgroup/memory/memory.limit_in_bytes', `${512 * MiB}\n`);
    write('sys/fs/cgroup/memory/memory.usage_in_bytes', `${500 * MiB}\n`);
    write('sys/fs/cgroup/memory/memory.stat', `inactive_file 1\ntotal_inactive_file ${200 * MiB}\n`);
    expect((await readMachineMemory(root)).memory).toEqual({ total: 512 * MiB, available: 212 * MiB });
  });

  it('takes the huge number of v1 for no limit', async () => {
    write('proc/self/cgroup', '4:memory:/\n');
    write('sys/fs/cgroup/memory/memory.limit_in_bytes', '9223372036854771712\n');
    write('sys/fs/cgroup/memory/memory.usage_in_bytes', `${500 * MiB}\n`);
    expect((await readMachineMemory(root)).memory).toEqual({ total: 8192 * MiB, available: 4096 * MiB });
  });

  it('is told with what decides when it is short: the tightest limit, swap, and overcommitment', async () => {
    write('proc/self/cgroup', '0::/\n');
    expect((await readMachineMemory(root)).kernel).toEqual({
      limitedBy: 'machine',
      swapTotal: 0,
      swapFree: 0,
      overcommit: null,
    });
    write(
      'proc/meminfo',
      'MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nSwapTotal: 1024 kB\nSwapFree: 512 kB\n',
    );
    write('proc/sys/vm/overcommit_memory', '1\n');
    write('sys/fs/cgroup/memory.max', `${1024 * MiB}\n`);
    write('sys/fs/cgroup/memory.current', `${600 * MiB}\n`);
    expect(await readMachineMemory(root)).toEqual({
      memory: { total: 1024 * MiB, available: 424 * MiB },
      kernel: { limitedBy: 'cgroup', swapTotal: MiB, swapFree: MiB / 2, overcommit: 1 },
    });
  });

  it('is what the fleet file allows when that is less, and then by however little it is the limit', async () => {
    write('proc/self/cgroup', '0::/\n');
    const processes = [{ residentMemory: 96 * MiB }, { residentMemory: null }];
    const look = (memory: number) => lookAtMemory({ memory }, processes, root);
    expect(await look(8192 * MiB)).toMatchObject({
      memory: { total: 8192 * MiB, available: 4096 * MiB },
      kernel: { limitedBy: 'machine' },
    });
    expect(await look(4096 * MiB + 96 * MiB)).toMatchObject({
      memory: { total: 4192 * MiB, available: 4096 * MiB },
      kernel: { limitedBy: 'machine' },
    });
    expect(await look(4096 * MiB + 95 * MiB)).toMatchObject({
      memory: { total: 4191 * MiB, available: 4095 * MiB },
      kernel: { limitedBy: 'budget' },
    });
  });

  it('and its disk are told for this machine, too, before the directory exists', async () => {
    const { memory: machine } = await readMachineMemory();
    const { total, available } = machine;
    expect(available).toBeGreaterThan(0);
    expect(total).toBeGreaterThanOrEqual(available);
    expect(await readDiskAvailable(path.join(root, 'not', 'yet'))).toBeGreaterThan(0);
  });
});

describe('the catalog', () => {
  const here: Endpoint = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
  const there: Endpoint = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };
  const running: HostProcess = {
    database: 'sessions-00',
    endpoint: here,
    state: 'running',
    pid: 1,
    residentMemory: 1,
    lastWords: null,
  };
  const record: DatabaseRecord = {
    database: 'sessions-00',
    server: 'redis-01',
    epoch: 7,
    leader: here,
    follower: there,
    updatedAt: '2026-01-01T00:00:00Z',
    updatedBy: 'test',
  };
  const asLeader: Registration = {
    fleet: 'demo',
    database: 'sessions-00',
    role: 'leader',
    endpoint: here,
    epoch: 7,
  };
  const changes = (input: Partial<CatalogInput>) =>
    catalogChanges({
      fleet: 'demo',
      records: [record],
      unknown: new Set(),
      processes: [running],
      registered: [],
      ...input,
    });

  it('names who leads by the record', () => {
    expect(changes({})).toEqual({ register: [asLeader], deregister: [] });
    const switched = { ...record, epoch: 8, leader: there, follower: here };
    expect(changes({ records: [switched], registered: [asLeader] }).register).toEqual([
      { ...asLeader, role: 'follower', epoch: 8 },
    ]);
    const extra = { ...record, leader: there, follower: null, extraFollowers: [here] };
    expect(changes({ records: [extra] }).register).toEqual([{ ...asLeader, role: 'follower' }]);
  });

  it('is left alone when it is right', () => {
    expect(changes({ registered: [asLeader] })).toEqual({ register: [], deregister: [] });
  });

  it('sends nobody to a process that is down, that the record does not name, or that nobody leads yet', () => {
    const gone = { register: [], deregister: [asLeader] };
    expect(changes({ processes: [{ ...running, state: 'stopped' }], registered: [asLeader] })).toEqual(gone);
    expect(changes({ processes: [], registered: [asLeader] })).toEqual(gone);
    expect(changes({ records: [], registered: [asLeader] })).toEqual(gone);
    expect(changes({ records: [{ ...record, epoch: 0 }], registered: [asLeader] })).toEqual(gone);
    const elsewhere = { ...record, leader: there, follower: null };
    expect(changes({ records: [elsewhere], registered: [asLeader] })).toEqual(gone);
    const otherPort = { ...record, leader: { ...here, port: 6399 } };
    expect(changes({ records: [otherPort], registered: [asLeader] })).toEqual(gone);
  });

  it('keeps what it says while a record cannot be read', () => {
    expect(changes({ records: [], unknown: new Set(['sessions-00']), registered: [asLeader] })).toEqual({
      register: [],
      deregister: [],
    });
  });
});

describe('last words', () => {
  it('are the end of the log, without secrets and without what a process says every second', async () => {
    write(
      'redis.log',
      [
        ...Array.from({ length: 5000 }, (_, at) => `17:S * line ${at}`),
        '>>> \'masterauth "hunter2hunter2"\'',
        '17:S * Connecting to MASTER 127.0.0.1:1',
        '17:S * MASTER <-> REPLICA sync started',
        '17:S # Error condition on socket for SYNC: Connection refused',
        '17:S # Out Of Memory allocating 5 bytes!',
      ].join('\n'),
    );
    const words = await readLastWords(path.join(root, 'redis.log'));
    expect(words.split('\n')).toHaveLength(12);
    expect(words).toContain('line 4999');
    expect(words).not.toContain('hunter2');
    expect(words).not.toContain('MASTER 127.0.0.1:1');
    expect(words.endsWith('Out Of Memory allocating 5 bytes!')).toBe(true);
    expect(await readLastWords(path.join(root, 'none.log'))).toBe('');
  });

  it('leave out the page of a crash report, and keep what had happened before it', async () => {
    const report = [
      '17:M * Loading RDB produced by version 7.0.15',
      '17:M # RDB has duplicated key k1 in DB 0',
      '=== REDIS BUG REPORT START: Cut & paste starting from here ===',
      '17:M # Guru Meditation: Duplicated key found in RDB file #rdb.c:3184',
      '------ STACK TRACE ------',
      ...Array.from({ length: 300 }, (_, at) => `redis-server(frame${at})`),
      '------ INFO OUTPUT ------',
    ];
    const ended = [
      '=== REDIS BUG REPORT END. Make sure to include from START to END. ===',
      '',
      'Suspect RAM error?',
    ];
    for (const lines of [report, [...report, ...ended]]) {
      write('redis.log', lines.join('\n'));
      const words = await readLastWords(path.join(root, 'redis.log'));
      expect(words.split('\n')).toHaveLength(4);
      expect(words).toContain('duplicated key k1');
      expect(causeOfDeath(words)).toBe('BadDataFile');
    }
  });

  it.each([
    ['BadDataFile', "Can't handle RDB format version 99"],
    ['BadDataFile', 'Wrong RDB checksum expected: (1) but got (2). Aborting now. RDB CRC error'],
    [
      'PortInUse',
      'Could not create server TCP listening socket 127.0.1.1:6300: bind: Address already in use',
    ],
    [
      'BadDataFile',
      '--- RDB ERROR DETECTED ---\n[offset 919] Invalid object type: 238\n[info] 94 keys read\n[info] 0 expires',
    ],
    [
      'BadDataFile',
      '17:M * Loading RDB produced by version 7.0.15\n=== REDIS BUG REPORT START: Cut & paste starting from here ===',
    ],
    [
      'ProcessDied',
      '17:M * Loading RDB produced by version 7.0.15\n17:M * DB loaded from disk\n=== REDIS BUG REPORT START: Cut',
    ],
    ['DiskFull', 'Write error saving DB on disk: No space left on device'],
    ['ProcessDied', 'Redis 7.0.15 crashed by signal: 11'],
  ])('mean %s when they are %j', (kind, words) => {
    expect(causeOfDeath(words)).toBe(kind);
  });
});

describe('trouble that lasts', () => {
  it('is said when it begins and when it ends', () => {
    const said: string[] = [];
    const once = sayOnce({
      warn: (message: unknown) => void said.push(String(message)),
      info: (message: unknown) => void said.push(String(message)),
    });
    for (let i = 0; i < 3; i++) once.begins('consul', 'away');
    for (let i = 0; i < 3; i++) once.ends('consul', 'back');
    once.begins('consul', 'away again');
    expect(said).toEqual(['away', 'back', 'away again']);
  });
});
