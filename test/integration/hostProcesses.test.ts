/** A host's processes, on real Redis: what starts, what stays down, and what an agent finds again. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRedis } from '../../src/connections/redis.js';
import { processFiles } from '../../src/host/layout.js';
import { redisProcesses } from '../../src/host/processes.js';
import { findRedis } from '../../src/host/procfs.js';
import { CREDENTIALS, freePort, gone, stageHost, type HostStage } from './hostStage.js';

let host: HostStage;

beforeEach(async () => {
  host = await stageHost();
});

afterEach(async () => {
  await host.end();
});

describe('a process that is started', () => {
  it('answers, follows nobody, has both gates shut and has not forked', async () => {
    const spec = host.spec('sessions-00');
    const { started, pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    expect(started).toBe(true);

    const facts = await host.facts(spec);
    expect(facts.role).toBe('follower');
    expect(facts.link).toMatchObject({ address: '127.0.0.1', port: 1, up: false });
    expect(facts.totalForks).toBe(0);
    expect(facts.maxmemory).toBe(spec.maxmemory);

    const gates = await host.use(spec, (redis) => redis.config('GET', 'repl-diskless-sync*'));
    expect(gates).toEqual(expect.arrayContaining(['repl-diskless-sync-delay', '2147483647']));
    const found = await host.activities.hostProcess({ database: 'sessions-00' });
    expect(found).toMatchObject({ state: 'running', pid, endpoint: host.endpoint(spec), lastWords: null });
    expect(found?.residentMemory).toBeGreaterThan(1024 * 1024);
  });

  it('lives in a session of its own, and its pid is the one that was told', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    const [, , , , , session] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/\(.*\)/, 'x')
      .split(' ');
    expect(Number(session)).toBe(pid);
    const told = await host.use(spec, (redis) => redis.info('server'));
    expect(told).toContain(`process_id:${pid}`);
  });

  it('has users that cannot do more than they must', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.lead(spec);
    const application = openRedis(host.endpoint(spec), CREDENTIALS, { timeoutMs: 2_000 });
    application.options.username = 'default';
    application.options.password = CREDENTIALS.application;
    await application.connect();
    expect(await application.set('greeting', 'hello')).toBe('OK');
    expect(await application.info('replication')).toContain('role:master');
    for (const command of [
      ['BGSAVE'],
      ['CONFIG', 'GET', 'save'],
      ['REPLICAOF', 'NO', 'ONE'],
      ['SYNC'],
      ['PSYNC', '?', '-1'],
    ]) {
      const [name = '', ...args] = command;
      await expect(application.call(name, ...args), name).rejects.toThrow(/NOPERM/);
    }
    application.disconnect();

    const replication = openRedis(host.endpoint(spec), CREDENTIALS, { timeoutMs: 2_000 });
    replication.options.username = 'replication';
    replication.options.password = CREDENTIALS.replication;
    await replication.connect();
    expect(await replication.ping()).toBe('PONG');
    await expect(replication.call('SYNC')).rejects.toThrow(/NOPERM/);
    await expect(replication.get('greeting')).rejects.toThrow(/NOPERM/);
    replication.disconnect();
    expect((await host.facts(spec)).totalForks).toBe(0);
  });

  it('is found running by a second start, which changes nothing', async () => {
    const spec = host.spec('sessions-00');
    const first = await host.activities.startProcess({ process: spec, allowEmpty: true });
    const second = await host.activities.startProcess({ process: spec, allowEmpty: false });
    expect(second).toEqual({ started: false, pid: first.pid });
  });

  it('is left alone by a start that asks for something else, and the difference is told', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    const other = { ...spec, maxmemory: spec.maxmemory * 2 };
    await expect(host.activities.startProcess({ process: other, allowEmpty: true })).rejects.toThrow(
      new RegExp(
        `already runs on redis-09-a \\(pid ${pid}\\) with .*maxmemory ${spec.maxmemory}.*left alone`,
      ),
    );
    expect(await host.use(spec, (redis) => redis.config('GET', 'maxmemory'))).toEqual([
      'maxmemory',
      String(spec.maxmemory),
    ]);
  });

  it('is started once by two starts at the same time', async () => {
    const spec = host.spec('sessions-00');
    const both = await Promise.all([
      host.activities.startProcess({ process: spec, allowEmpty: true }),
      host.activities.startProcess({ process: spec, allowEmpty: true }),
    ]);
    expect(both.filter(({ started }) => started)).toHaveLength(1);
    expect(both[0].pid).toBe(both[1].pid);
  });
});

describe('a process that is killed', () => {
  it('stays down, is reported with its last words, and is never started empty in its place', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    process.kill(pid, 'SIGKILL');
    await gone(pid);

    const found = await host.activities.hostProcess({ database: 'sessions-00' });
    expect(found).toMatchObject({ state: 'stopped', pid: null, residentMemory: null });
    expect(found?.lastWords).toContain('Ready to accept connections');
    await expect(host.activities.startProcess({ process: spec, allowEmpty: false })).rejects.toMatchObject({
      kind: 'BadDataFile',
      message: expect.stringContaining('empty, it could wipe') as string,
    });
    // Whatever looked at it, nothing started it.
    await host.again().processes.list();
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBeNull();

    const again = await host.activities.startProcess({ process: spec, allowEmpty: true });
    expect(again.started).toBe(true);
  });

  it('in the middle of a save is not taken for alive because of the child that it forked', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.lead(spec);
    await host.use(spec, async (redis) => {
      await redis.mset(...Array.from({ length: 200 }, (_, at) => [`key-${at}`, 'x'.repeat(100)]).flat());
      await redis.config('SET', 'rdb-key-save-delay', '100000');
      await redis.bgsave();
    });
    const files = processFiles(host.settings.data, 'sessions-00');
    rmSync(files.pid);
    expect(findRedis(files)).toBe(pid);
    process.kill(pid, 'SIGKILL');
    await gone(pid);
    expect(findRedis(files)).toBeNull();
  });
});

describe('an agent that starts again', () => {
  it('finds its processes, with their pid files and without', async () => {
    const specs = [host.spec('sessions-00'), host.spec('sessions-01')];
    const pids = [];
    for (const process of specs)
      pids.push((await host.activities.startProcess({ process, allowEmpty: true })).pid);
    rmSync(processFiles(host.settings.data, 'sessions-01').pid);

    const found = await host.again().processes.list();
    expect(found.map(({ database, pid, state }) => [database, pid, state])).toEqual([
      ['sessions-00', pids[0], 'running'],
      ['sessions-01', pids[1], 'running'],
    ]);
  });

  it('is not deceived by a pid that belongs to somebody else by now', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.activities.stopProcess({ database: 'sessions-00', save: false });
    writeFileSync(processFiles(host.settings.data, 'sessions-00').pid, `${process.pid}\n`);

    const found = await host.again().activities.hostProcess({ database: 'sessions-00' });
    expect(found?.state).toBe('stopped');
    expect(await host.activities.stopProcess({ database: 'sessions-00', save: false })).toEqual({
      stopped: false,
    });
  });

  it("refuses a directory that is another database's, or another host's", async () => {
    await host.activities.startProcess({ process: host.spec('sessions-00'), allowEmpty: true });
    await host.activities.stopProcess({ database: 'sessions-00', save: false });
    const files = processFiles(host.settings.data, 'sessions-00');
    const description = readFileSync(files.description, 'utf8');

    writeFileSync(files.description, description.replace('"sessions-00"', '"carts-00"'));
    await expect(
      host.activities.startProcess({ process: host.spec('sessions-00'), allowEmpty: true }),
    ).rejects.toThrow(/belongs to the database carts-00, not to sessions-00/);
    await expect(host.activities.removeProcess({ database: 'sessions-00' })).rejects.toThrow(/carts-00/);

    writeFileSync(files.description, description.replace('redis-09-a', 'redis-09-b'));
    await expect(host.activities.hostProcess({ database: 'sessions-00' })).rejects.toThrow(
      /belongs to the host redis-09-b, and this is the agent of redis-09-a/,
    );
    writeFileSync(files.description, '{"process"');
    await expect(host.activities.hostProcess({ database: 'sessions-00' })).rejects.toThrow(
      /not a process description/,
    );
  });
});

describe('a port', () => {
  let squatter: Server | null = null;
  afterEach(() => squatter?.close());

  it('that is in use is refused, naming who holds it', async () => {
    const spec = host.spec('sessions-00');
    squatter = createServer().listen({ host: host.settings.address, port: spec.port });
    await once(squatter, 'listening');
    const refusal = {
      kind: 'PortInUse',
      message: expect.stringMatching(
        new RegExp(`port is in use; .* \\(pid ${process.pid}\\) holds it`),
      ) as string,
    };
    await expect(host.activities.startProcess({ process: spec, allowEmpty: true })).rejects.toMatchObject(
      refusal,
    );
    await expect(host.activities.checkHost({ processes: [spec] })).rejects.toMatchObject(refusal);
    expect(existsSync(processFiles(host.settings.data, 'sessions-00').description)).toBe(false);
  });

  it('of a stopped process is not given to another database', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.activities.stopProcess({ database: 'sessions-00', save: false });
    const thief = host.spec('carts-00', { port: spec.port });
    await expect(host.activities.checkHost({ processes: [thief] })).rejects.toMatchObject({
      kind: 'PortInUse',
      message: expect.stringContaining("it is sessions-00's, which is stopped") as string,
    });
    await expect(host.activities.checkHost({ processes: [spec] })).resolves.toBeDefined();
  });

  it('on an address that this machine does not have is refused', async () => {
    const elsewhere = redisProcesses({ ...host.settings, address: '192.0.2.1' });
    await expect(
      elsewhere.start({ process: host.spec('sessions-00'), allowEmpty: true }),
    ).rejects.toMatchObject({
      kind: 'InvalidRequest',
      message: expect.stringContaining('192.0.2.1 is not an address of this machine') as string,
    });
  });
});

describe('a host', () => {
  it('tells what memory and disk it has left, and refuses what does not fit', async () => {
    const { memory, diskAvailable } = await host.activities.checkHost({
      processes: [host.spec('sessions-00')],
    });
    expect(memory.available).toBeGreaterThan(0);
    expect(memory.available).toBeLessThanOrEqual(memory.total);
    expect(diskAvailable).toBeGreaterThan(0);
    const huge = host.spec('sessions-00', { maxmemory: memory.total * 2 });
    await expect(host.activities.checkHost({ processes: [huge] })).rejects.toMatchObject({
      kind: 'NoHeadroom',
    });
  });
});

describe('secrets', () => {
  it('stand in no argument, environment, log or description, and only in a private file', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    const files = processFiles(host.settings.data, 'sessions-00');
    const secrets = [CREDENTIALS.administrator, '9c1d', CREDENTIALS.application];
    const places = [
      `/proc/${pid}/cmdline`,
      `/proc/${pid}/environ`,
      files.log,
      files.description,
      files.users,
    ];
    for (const place of places) {
      const text = readFileSync(place, 'utf8');
      for (const secret of secrets) expect(text.includes(secret), `${place} holds a secret`).toBe(false);
    }
    for (const name of await readdir(files.directory)) {
      if (['redis.conf', 'users.acl', 'process.json'].includes(name))
        expect(statSync(path.join(files.directory, name)).mode & 0o077, name).toBe(0);
    }
    expect(readFileSync(files.users, 'utf8')).toContain(
      createHash('sha256').update(CREDENTIALS.administrator).digest('hex'),
    );
    // The password with quotes and a backslash arrived as it is.
    expect(await host.use(spec, (redis) => redis.config('GET', 'masterauth'))).toEqual([
      'masterauth',
      CREDENTIALS.replication,
    ]);
  });
});

describe('stopping', () => {
  it('with saving keeps the data without a fork', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.lead(spec);
    await host.use(spec, (redis) => redis.set('kept', 'yes'));
    expect(await host.activities.stopProcess({ database: 'sessions-00', save: true })).toEqual({
      stopped: true,
    });
    expect(await host.activities.stopProcess({ database: 'sessions-00', save: true })).toEqual({
      stopped: false,
    });
    expect(readFileSync(processFiles(host.settings.data, 'sessions-00').log, 'utf8')).not.toContain(
      'Background saving',
    );

    const { started } = await host.activities.startProcess({ process: spec, allowEmpty: false });
    expect(started).toBe(true);
    expect(await host.use(spec, (redis) => redis.get('kept'))).toBe('yes');
    expect((await host.facts(spec)).totalForks).toBe(0);
  });

  it('without saving writes nothing', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.lead(spec);
    await host.use(spec, (redis) => redis.set('kept', 'no'));
    await host.activities.stopProcess({ database: 'sessions-00', save: false });
    expect(await host.activities.readDataFile({ database: 'sessions-00' })).toBeNull();
  });

  it('a frozen process: killed when nothing is to be saved, left alone when something is', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    process.kill(pid, 'SIGSTOP');
    await expect(host.activities.stopProcess({ database: 'sessions-00', save: true })).rejects.toMatchObject({
      kind: 'Unreachable',
      message: expect.stringContaining('It was not killed') as string,
    });
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBe(pid);

    expect(await host.activities.stopProcess({ database: 'sessions-00', save: false })).toEqual({
      stopped: true,
    });
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBeNull();
  });

  it('comes before removing, which leaves nothing and may be repeated', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await expect(host.activities.removeProcess({ database: 'sessions-00' })).rejects.toThrow(/Stop it first/);
    await host.activities.stopProcess({ database: 'sessions-00', save: false });
    await host.activities.removeProcess({ database: 'sessions-00' });
    await host.activities.removeProcess({ database: 'sessions-00' });
    expect(await readdir(host.settings.data)).toEqual([]);
    expect(await host.activities.hostProcess({ database: 'sessions-00' })).toBeNull();
  });
});

describe('a process that cannot start', () => {
  it('is told of with its last words, and leaves its data file as it was', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.lead(spec);
    await host.use(spec, (redis) =>
      redis.mset(...Array.from({ length: 100 }, (_, at) => [`k${at}`, `v${at}`]).flat()),
    );
    await host.activities.stopProcess({ database: 'sessions-00', save: true });
    const { data } = processFiles(host.settings.data, 'sessions-00');
    const whole = readFileSync(data);
    // Head and tail are well; only loading finds it, in another way where a length, a key or a type is hit.
    for (const from of [60, 61, 62, 63, 64]) {
      const damaged = Buffer.from(whole).fill(0xee, whole.length - from, whole.length - 20);
      writeFileSync(data, damaged);

      await expect(host.activities.startProcess({ process: spec, allowEmpty: true })).rejects.toMatchObject({
        kind: 'BadDataFile',
        message: expect.stringMatching(/died on redis-09-a while it started[^]*last words[^]*RDB/) as string,
      });
      expect(readFileSync(data).equals(damaged)).toBe(true);
    }
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBeNull();
  });

  it('because there is no Redis is told so', async () => {
    const settings = { ...host.settings, redisServer: '/nowhere/redis-server' };
    await expect(
      redisProcesses(settings).start({ process: host.spec('sessions-00'), allowEmpty: true }),
    ).rejects.toMatchObject({
      kind: 'NotFound',
      message: expect.stringContaining('REDIS_FLEET_BIN_REDIS_SERVER') as string,
    });
  });

  it('because the agent has a wrong password for it is told without that password', async () => {
    const spec = host.spec('sessions-00');
    const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
    const mistaken = redisProcesses({
      ...host.settings,
      credentials: { ...CREDENTIALS, administrator: 'an-old-password' },
    });
    const attempt = mistaken.start({ process: spec, allowEmpty: true });
    await expect(attempt).rejects.toMatchObject({ kind: 'WrongCredentials' });
    await expect(attempt).rejects.not.toThrow(/an-old-password/);
    await expect(mistaken.stop({ database: 'sessions-00', save: true })).rejects.toMatchObject({
      kind: 'WrongCredentials',
    });
    expect(findRedis(processFiles(host.settings.data, 'sessions-00'))).toBe(pid);
  });

  it('on a port that is taken between the look and the launch does not disturb who took it', async () => {
    const port = await freePort(host.settings.address);
    const first = host.spec('sessions-00', { port });
    const { pid } = await host.activities.startProcess({ process: first, allowEmpty: true });
    await expect(
      host.activities.startProcess({ process: host.spec('carts-00', { port }), allowEmpty: true }),
    ).rejects.toMatchObject({
      kind: 'PortInUse',
      message: expect.stringContaining(`redis-server (pid ${pid})`) as string,
    });
    expect((await host.facts(first)).totalForks).toBe(0);
  });
});
