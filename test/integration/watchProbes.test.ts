import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FollowerProbe } from '../../src/activities/watch/followerProbe.js';
import { LeaderProbe } from '../../src/activities/watch/leaderProbe.js';
import { withRedis } from '../../src/connections/redis.js';
import { warmConnections } from '../../src/activities/warmConnections.js';
import { processWatch } from '../../src/host/watching.js';
import { findBinary } from '../../src/dev/binaries.js';
import type { Sighting } from '../../src/fleet/failure.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { ADMINISTRATOR_USER } from '../../src/fleet/redisConfig.js';
import { freePorts, startGuarded, type GuardedProcess } from '../../src/testbed/guardedProcess.js';
import { waitFor } from '../../src/testbed/waiting.js';

const ADDRESS = '127.0.0.1';
const CREDENTIALS = { administrator: 'swordfish' };
const DOWN_AFTER = 400;

/** What a watch sees of single processes, whatever happens to them. */
describe('a probe', () => {
  let folder: string;
  let endpoint: Endpoint;
  let server: GuardedProcess;
  const others: GuardedProcess[] = [];
  let probe: LeaderProbe;
  let asking: NodeJS.Timeout;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-probe-'));
    const [port = 0] = await freePorts(ADDRESS, 1);
    endpoint = { host: 'here', address: ADDRESS, port };
    server = await start(endpoint);
    watch(null);
    await sees('leading');
  });
  afterEach(async () => {
    clearInterval(asking);
    probe.close();
    await Promise.all([server, ...others.splice(0)].map((one) => one.end()));
    await rm(folder, { recursive: true, force: true });
  });

  it('sees a leader that is killed at once, not at the next question', async () => {
    clearInterval(asking);
    const killedAt = performance.now();
    process.kill(server.pid, 'SIGKILL');
    await sees('refused', 1);
    const ms = performance.now() - killedAt;
    process.stdout.write(`killed → seen: ${ms.toFixed(1)} ms\n`);
    expect(ms).toBeLessThan(DOWN_AFTER / 2);
  });

  it('that is closed while it connects leaves no connection behind', async () => {
    const clients = () =>
      withRedis(
        endpoint,
        CREDENTIALS,
        { timeoutMs: 1_000 },
        async (redis) =>
          String(await redis.client('LIST'))
            .trim()
            .split('\n').length,
      );
    const before = await clients();
    const other = new LeaderProbe({
      endpoint,
      credentials: CREDENTIALS,
      downAfterMs: DOWN_AFTER,
      runId: null,
      onSeen: () => undefined,
    });
    const watched = processWatch({ ...CREDENTIALS, application: '', replication: '' }, () => undefined);
    const asked = other.ask();
    const opening = watched.connection({ database: 'sessions-00', endpoint, pid: null });
    other.close();
    watched.drop('sessions-00');
    await asked;
    await expect(opening).rejects.toThrow('Connection is closed.');
    await waitFor(async () => (await clients()) === before, {
      deadlineMs: 30_000,
      what: 'no client more than before',
    });
  });

  it('lends its connection to whoever looks at its follower, and whoever comes later opens one', async () => {
    const connections = warmConnections(CREDENTIALS);
    const follower = new FollowerProbe({
      endpoint,
      leader: { host: 'nobody', address: ADDRESS, port: 1 },
      credentials: CREDENTIALS,
      downAfterMs: DOWN_AFTER,
      lend: (at, current) => connections.lend(at, current),
      onSeen: () => undefined,
    });
    await follower.ask();
    const borrowed = await connections.look(endpoint);
    expect(borrowed.look.answers).toBe(true);
    borrowed.close();
    const again = await connections.look(endpoint);
    expect(again.redis).toBe(borrowed.redis);
    expect(again.redis.status).toBe('ready');
    follower.close();
    const own = await connections.look(endpoint);
    expect(own.look.answers).toBe(true);
    expect(own.redis).not.toBe(borrowed.redis);
    own.close();
  });

  it('counts the silence of one that hangs, and sees it again when it wakes', async () => {
    process.kill(server.pid, 'SIGSTOP');
    const silent = await sees('silent');
    expect(silent).toMatchObject({ seen: 'silent' });
    await waitFor(
      () => {
        const now = probe.sighting(performance.now());
        return now.seen === 'silent' && now.forMs > 2 * DOWN_AFTER;
      },
      { deadlineMs: 30_000, what: 'a long silence' },
    );
    process.kill(server.pid, 'SIGCONT');
    await sees('leading');
  });

  it('does not take one that follows for a leader', async () => {
    await command('REPLICAOF', ADDRESS, '1');
    await sees('not leading');
    await command('REPLICAOF', 'NO', 'ONE');
    await sees('leading');
  });

  it('sees that another process leads in its place, also after the watch has moved to another worker', async () => {
    const { runId } = probe;
    await server.end();
    server = await start(endpoint);
    await sees('reborn');
    probe.close();
    watch(runId);
    await sees('reborn');
    // Its follower follows it: it is the leader, started anew with its data.
    probe.adopt();
    await sees('leading');
    expect(probe.runId).not.toBe(runId);
  });

  it('takes one that does not know our password any more for another process', async () => {
    await server.end();
    server = await start(endpoint, { password: 'somebody elses' });
    await sees('reborn');
  });

  it('sees a process that loads, whether it will lead or follow nobody', async () => {
    await withRedis(endpoint, CREDENTIALS, { timeoutMs: 2_000 }, async (redis) => {
      for (let key = 0; key < 30; key++) await redis.set(`key:${String(key)}`, randomBytes(4096));
      await redis.call('SAVE');
    });
    await server.end();
    // It looks up from its file after each key.
    const slow = ['--key-load-delay', '100000', '--loading-process-events-interval-bytes', '1024'];
    server = await start(endpoint, { more: slow });
    await sees('loading');
    await sees('reborn');
    await server.end();
    server = await start(endpoint, { more: [...slow, '--replicaof', ADDRESS, '1'] });
    await waitFor(
      () => {
        const now = probe.sighting(performance.now());
        return now.seen === 'not leading' && now.loading;
      },
      { deadlineMs: 30_000, what: 'a follower that loads', everyMs: 5 },
    );
  });

  it('asks the follower itself how its link is', async () => {
    const [port = 0] = await freePorts(ADDRESS, 1);
    const there: Endpoint = { host: 'there', address: ADDRESS, port };
    const login = ['--masteruser', ADMINISTRATOR_USER, '--masterauth', CREDENTIALS.administrator];
    const diskless = ['--repl-diskless-sync-delay', '0'];
    others.push(
      await start(there, { more: [...login, ...diskless, '--replicaof', ADDRESS, String(endpoint.port)] }),
    );
    const follower = new FollowerProbe({
      endpoint: there,
      leader: endpoint,
      credentials: CREDENTIALS,
      downAfterMs: DOWN_AFTER,
      onSeen: () => undefined,
    });
    const link = async (up: boolean | undefined): Promise<void> => {
      const what = `a link that is ${String(up)}`;
      const asked = async (): Promise<boolean> => {
        await follower.ask();
        return follower.link(performance.now())?.up === up;
      };
      await waitFor(asked, { deadlineMs: 30_000, what, everyMs: 10 });
    };
    await link(true);
    process.kill(server.pid, 'SIGKILL');
    await link(false);
    // Of somebody else's link it says nothing.
    await withRedis(there, CREDENTIALS, { timeoutMs: 2_000 }, (redis) => redis.replicaof(ADDRESS, 1));
    await link(undefined);
    follower.close();
  });

  async function start(
    at: Endpoint,
    { password = CREDENTIALS.administrator, more = [] }: { password?: string; more?: readonly string[] } = {},
  ): Promise<GuardedProcess> {
    const user = ['--user', ADMINISTRATOR_USER, 'on', `>${password}`, '~*', '&*', '+@all'];
    const where = ['--bind', at.address, '--port', String(at.port), '--dir', folder, '--save', ''];
    return await startGuarded(findBinary('redis-server', process.env), [...where, ...user, ...more]);
  }

  function watch(runId: string | null): void {
    clearInterval(asking);
    const onSeen = (): void => undefined;
    probe = new LeaderProbe({ endpoint, credentials: CREDENTIALS, downAfterMs: DOWN_AFTER, runId, onSeen });
    asking = setInterval(() => void probe.ask(), DOWN_AFTER / 4);
    void probe.ask();
  }

  async function sees(seen: Sighting['seen'], everyMs = 5): Promise<Sighting> {
    return await waitFor(
      () => {
        const now = probe.sighting(performance.now());
        return now.seen === seen ? now : null;
      },
      { deadlineMs: 30_000, what: `a leader that is ${seen}`, everyMs },
    );
  }

  async function command(...words: readonly [string, ...string[]]): Promise<void> {
    const [name, ...args] = words;
    await withRedis(endpoint, CREDENTIALS, { timeoutMs: 2_000 }, (redis) => redis.call(name, ...args));
  }
});
