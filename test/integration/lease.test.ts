/** A host's lease on real Redis and Consul: what the agent says, what it fences, and what it leaves alone. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Redis } from 'ioredis';
import { openClient } from '../../src/testbed/clients.js';
import { pause, waitFor } from '../../src/testbed/waiting.js';
import { leaseStore } from '../../src/records/leases.js';
import { CREDENTIALS } from './hostStage.js';
import { DATABASE, FLEET, FOLLOWER_HOST, LEADER_HOST, stageLeases, type LeaseStage } from './leaseStage.js';

const SHORT = { ttl: 1_500, downAfter: 1_000 };

let stage: LeaseStage;

afterEach(async () => {
  await stage.end();
});

/** Both agents hold their leases, and have seen all processes. */
async function settled(): Promise<void> {
  for (const host of [LEADER_HOST, FOLLOWER_HOST])
    await waitFor(async () => (await stage.lease(host)).processes[DATABASE]?.pulse === 'up', {
      deadlineMs: 30_000,
      what: `the lease of ${host}`,
    });
  await waitFor(async () => (await stage.lease(FOLLOWER_HOST)).leaders[DATABASE] === 'up', {
    deadlineMs: 30_000,
    what: 'the follower to see its leader',
  });
}

const until = (condition: () => Promise<boolean> | boolean, what: string, deadlineMs = 10_000) =>
  waitFor(condition, { deadlineMs, what, everyMs: 10 });

async function minReplicas(): Promise<string> {
  const answer: unknown = await stage.leader.use(stage.leaderSpec, (redis) =>
    redis.config('GET', 'min-replicas-to-write'),
  );
  return Array.isArray(answer) ? String(answer[1]) : '';
}

function application(): Redis {
  return openClient(stage.leader.endpoint(stage.leaderSpec), { password: CREDENTIALS.application }, 1_000);
}

describe('the lease of a host', () => {
  it('is renewed, and says how its processes are', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    const first = await stage.lease(LEADER_HOST);
    expect(first).toMatchObject({ host: LEADER_HOST, term: 1, ttl: 1_500 });
    const { runId, position } = await stage.leader.facts(stage.leaderSpec);
    expect(first.processes[DATABASE]).toMatchObject({ role: 'leader', runId, link: null, fenced: null });
    expect(first.processes[DATABASE]?.position?.id).toBe(position.id);
    expect((await stage.lease(FOLLOWER_HOST)).processes[DATABASE]).toMatchObject({
      role: 'follower',
      link: 'up',
    });
    await until(async () => (await stage.lease(LEADER_HOST)).renewal > first.renewal + 2, 'renewals');
    expect((await stage.lease(LEADER_HOST)).term).toBe(1);

    await agent.stop();
    expect(await stage.lease(LEADER_HOST)).toMatchObject({ term: 1, left: true });
    stage.start(stage.leader);
    await until(async () => (await stage.lease(LEADER_HOST)).term === 2, 'a new term');
    const second = await stage.lease(LEADER_HOST);
    expect(second.left).toBeUndefined();
    expect(second.agent).not.toBe(first.agent);
  });

  it('tells watchers of a death within milliseconds, from both sides', async () => {
    stage = await stageLeases({ ttl: 30_000, downAfter: 3_000 });
    stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    const told = new Map<string, number>();
    const watching = new AbortController();
    const store = leaseStore(stage.consul.consul, FLEET);
    const note = (key: string, holds: boolean): void => {
      if (holds && !told.has(key)) told.set(key, performance.now());
    };
    const watches = Promise.all([
      store.watch(
        LEADER_HOST,
        (stored) => note('own agent', stored?.lease.processes[DATABASE]?.pulse === 'gone'),
        watching.signal,
      ),
      store.watch(
        FOLLOWER_HOST,
        (stored) => note("the follower's agent", stored?.lease.leaders[DATABASE] === 'gone'),
        watching.signal,
      ),
      store.watch(
        FOLLOWER_HOST,
        (stored) => note("the follower's link", stored?.lease.processes[DATABASE]?.link === 'down'),
        watching.signal,
      ),
    ]);
    const killed = performance.now();
    process.kill(stage.pid(stage.leader), 'SIGKILL');
    await until(() => told.size === 3, 'all three to know');
    watching.abort();
    await watches;
    const after = Object.fromEntries([...told].map(([who, at]) => [who, at - killed]));
    process.stdout.write(
      `milliseconds from kill -9 to what a watcher of Consul sees: ${JSON.stringify(after)}\n`,
    );
    // Alone on a machine some 30 ms.
    for (const who of Object.values(after)) expect(who).toBeLessThan(3_000);
    const last = await stage.lease(LEADER_HOST);
    expect(last.processes[DATABASE]).toMatchObject({ role: 'leader', pulse: 'gone' });
  });

  it('says that a process is silent, once it has not answered for downAfter, and that it is up again', async () => {
    stage = await stageLeases(SHORT);
    stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    process.kill(stage.pid(stage.leader), 'SIGSTOP');
    const frozen = performance.now();
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.pulse === 'silent',
      'silence',
    );
    const took = performance.now() - frozen;
    expect(took).toBeGreaterThan(SHORT.downAfter * 0.5);
    expect(took).toBeLessThan(SHORT.downAfter * 5);
    await until(
      async () => (await stage.lease(FOLLOWER_HOST)).leaders[DATABASE] === 'silent',
      'silence there',
    );
    process.kill(stage.pid(stage.leader), 'SIGCONT');
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.pulse === 'up',
      'its return',
    );
    await until(
      async () => (await stage.lease(FOLLOWER_HOST)).leaders[DATABASE] === 'up',
      'its return there',
    );
    // Hung is not without a lease: nobody fenced it.
    expect(await minReplicas()).toBe('0');
  });
});

describe('without Consul', () => {
  it('a leader whose follower acknowledges serves on, for as long as it takes', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    const writer = stage.writer();
    await until(() => writer.counts.acknowledged > 50, 'writes');
    const consul = stage.consul.pid() ?? 0;
    process.kill(consul, 'SIGSTOP');
    await pause(SHORT.ttl * 4);
    expect(agent.said.join('\n')).toContain('cannot be renewed');
    expect(await minReplicas()).toBe('0');
    process.kill(consul, 'SIGCONT');
    await until(() => agent.said.some((line) => line.includes('renewed again')), 'renewal');
    const counts = await writer.stop();
    expect(counts.failed).toBe(0);
    expect(agent.said.join('\n')).not.toContain('Fenced');
    expect((await stage.lease(LEADER_HOST)).term).toBe(1);
  });

  it('and without its follower, it takes no writes from before the end of its lease until it is held again', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    const before = await stage.leader.facts(stage.leaderSpec);
    const writer = stage.writer();
    await until(() => writer.counts.acknowledged > 50, 'writes');
    const consul = stage.consul.pid() ?? 0;
    process.kill(consul, 'SIGSTOP');
    process.kill(stage.pid(stage.follower), 'SIGSTOP');
    const alone = performance.now();
    await until(async () => (await minReplicas()) === '99', 'the fence');
    // The last renewal was sent before Consul froze.
    expect(performance.now() - alone).toBeLessThan(SHORT.ttl * 0.95);
    const client = application();
    await client.connect();
    await expect(client.set('alone', '1')).rejects.toThrow(/NOREPLICAS/);
    expect(await client.get('alone')).toBeNull();
    client.disconnect();
    expect(agent.said.filter((line) => line.startsWith('Fenced'))).toHaveLength(1);

    process.kill(stage.pid(stage.follower), 'SIGCONT');
    await pause(500);
    // The follower alone is not enough: somebody may have broken the lease.
    expect(await minReplicas()).toBe('99');
    process.kill(consul, 'SIGCONT');
    await until(async () => (await minReplicas()) === '0', 'it to serve again');
    const failed = writer.counts.failed;
    const acknowledged = writer.counts.acknowledged;
    await until(() => writer.counts.acknowledged > acknowledged + 50, 'writes');
    expect(writer.counts.failed).toBeLessThan(failed + 5);
    await writer.stop();
    const after = await stage.leader.facts(stage.leaderSpec);
    expect(after.position.id).toBe(before.position.id);
    expect(after.runId).toBe(before.runId);
    expect(after.totalForks).toBe(before.totalForks);
    await until(async () => {
      const { position } = await stage.follower.facts(stage.followerSpec);
      return position.offset >= after.position.offset && position.id === before.position.id;
    }, 'the follower to have it all');
    expect((await writer.verify(stage.follower.endpoint(stage.followerSpec))).lost).toBe(0);
    expect(agent.said.filter((line) => line.includes('takes writes again'))).toHaveLength(1);
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.fenced === null,
      'the lease to say so',
    );
  });

  it('a leader that is alone and does not obey is killed before the end of the lease', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.pulse === 'up',
      'the lease',
    );
    const pid = stage.pid(stage.leader);
    process.kill(pid, 'SIGSTOP');
    process.kill(stage.consul.pid() ?? 0, 'SIGSTOP');
    const alone = performance.now();
    await until(() => agent.said.some((line) => line.startsWith('Killed')), 'the kill');
    expect(performance.now() - alone).toBeLessThan(SHORT.ttl);
    await until(() => !stillThere(pid), 'its end');
  });

  it('a database without a follower is served: nobody else could lead it', async () => {
    stage = await stageLeases(SHORT);
    await stage.changeRecord({ follower: null });
    const agent = stage.start(stage.leader);
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.pulse === 'up',
      'the lease',
    );
    process.kill(stage.pid(stage.follower), 'SIGSTOP');
    process.kill(stage.consul.pid() ?? 0, 'SIGSTOP');
    await pause(SHORT.ttl * 2);
    expect(await minReplicas()).toBe('0');
    expect(agent.said.join('\n')).not.toContain('Fenced');
  });
});

describe('a wall clock that jumps', () => {
  it('neither ends a lease nor makes it longer', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    const writer = stage.writer();
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      for (const jump of [86_400_000, -7 * 86_400_000]) {
        vi.setSystemTime(Date.now() + jump);
        const { renewal } = await stage.lease(LEADER_HOST);
        await until(async () => (await stage.lease(LEADER_HOST)).renewal > renewal + 2, 'renewals');
      }
    } finally {
      vi.useRealTimers();
    }
    expect((await writer.stop()).failed).toBe(0);
    expect(agent.said.join()).not.toContain('Fenced');
    expect((await stage.lease(LEADER_HOST)).term).toBe(1);
  });
});

describe('a lease that was broken', () => {
  it('is taken anew, and its leader serves again only when no promotion owns the record', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    agent.cutOff();
    process.kill(stage.pid(stage.follower), 'SIGSTOP');
    await until(async () => (await minReplicas()) === '99', 'the fence');
    process.kill(stage.pid(stage.follower), 'SIGCONT');

    const promotion = {
      type: 'promoteFollower',
      workflowId: 'promoteFollower/x',
      runId: 'r',
      urgency: 'urgent',
    } as const;
    await stage.changeRecord({ operation: { ...promotion, since: new Date().toISOString() } });
    const store = leaseStore(stage.consul.consul, FLEET);
    const stored = await waitFor(() => store.read(LEADER_HOST), { deadlineMs: 30_000, what: 'the lease' });
    const broken = { by: 'promoteFollower/x', why: 'it ran out' };
    expect(await store.compareAndSet({ ...stored.lease, broken }, stored.modifyIndex)).toBe(true);

    agent.reconnect();
    const word = 'promoteFollower/x had broken the last one (it ran out)';
    await until(() => agent.said.join().includes(word), 'a word of the new term');
    expect((await stage.lease(LEADER_HOST)).term).toBe(2);
    await pause(500);
    expect(await minReplicas()).toBe('99');
    expect((await stage.lease(LEADER_HOST)).processes[DATABASE]?.fenced).toContain('could not be renewed');
    // An agent that starts meanwhile knows no better, and finds the fence.
    await agent.stop();
    const next = stage.start(stage.leader);
    const fenced = async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.fenced;
    await until(
      async () => (await fenced())?.includes('an earlier run of the agent') === true,
      'the next agent',
    );
    await pause(500);
    expect(await minReplicas()).toBe('99');
    await stage.release();
    await until(async () => (await minReplicas()) === '0', 'it to serve again');
    await until(() => next.said.join().includes('takes writes again'), 'a word');
  });

  it('an agent that was frozen asks before it fences: its Redis had served on, and nobody was promoted', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    stage.start(stage.follower);
    await settled();
    const writer = stage.writer();
    await until(() => writer.counts.acknowledged > 20, 'writes');
    // This process is the agent, so it is stalled as a whole: as by a SIGSTOP, but that our timers all come at once.
    stall(SHORT.ttl * 2);
    await pause(1_000);
    expect(agent.said.join('\n')).not.toContain('Fenced');
    expect(await minReplicas()).toBe('0');
  });
});

describe('an old leader', () => {
  it('that its record names no more follows nobody within milliseconds, and its clients are cut', async () => {
    stage = await stageLeases(SHORT);
    const agent = stage.start(stage.leader);
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.pulse === 'up',
      'the lease',
    );
    await stage.leader.use(stage.leaderSpec, (redis) => redis.config('SET', 'min-replicas-to-write', '0'));
    const client = application();
    await client.connect();
    const ended = new Promise((resolve) => client.once('end', resolve));
    await client.set('before', '1');
    await stage.follower.use(stage.followerSpec, (redis) => redis.call('REPLICAOF', 'NO', 'ONE'));
    await stage.changeRecord({
      epoch: 2,
      leader: stage.follower.endpoint(stage.followerSpec),
      follower: null,
    });
    const changed = performance.now();
    await ended;
    const took = performance.now() - changed;
    process.stdout.write(`milliseconds from the record to the old leader's end: ${took.toFixed(0)}\n`);
    expect(took).toBeLessThan(2_000);
    const again = application();
    await again.connect();
    await expect(again.set('after', '1')).rejects.toThrow(/READONLY/);
    again.disconnect();
    await until(() => agent.said.some((line) => line.includes('led although its record names')), 'a word');
    await pause(300);
    expect(agent.said.filter((line) => line.includes('led although its record names'))).toHaveLength(1);
    expect(await minReplicas()).toBe('0');
  });

  it('that hangs then is killed, so that it cannot wake up and serve', async () => {
    stage = await stageLeases(SHORT);
    stage.start(stage.leader);
    await until(
      async () => (await stage.lease(LEADER_HOST)).processes[DATABASE]?.pulse === 'up',
      'the lease',
    );
    const pid = stage.pid(stage.leader);
    process.kill(pid, 'SIGSTOP');
    await stage.follower.use(stage.followerSpec, (redis) => redis.call('REPLICAOF', 'NO', 'ONE'));
    await stage.changeRecord({
      epoch: 2,
      leader: stage.follower.endpoint(stage.followerSpec),
      follower: null,
    });
    await until(() => !stillThere(pid), 'its end');
  });
});

function stillThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
