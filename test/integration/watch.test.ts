import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { workflowId } from '../../src/fleet/names.js';
import type { WatchedDatabase, WatchView } from '../../src/fleet/watchView.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { pidOf, redisAt, SECOND } from './bringUpStage.js';
import { cli } from './cliRunner.js';
import {
  promotion,
  promotionStarted,
  reapply,
  run,
  SERVER,
  seenOf,
  signalLeader,
  tell,
  untilPromoted,
  untilSeen,
  whileNothingIsDone,
  why,
} from './watchStage.js';

const DOWN_AFTER = SECOND;

/** Leaders fail, or only seem to. Each story takes the databases that it names, and leaves the others alone. */
describe('a watched server', () => {
  let fleet: TestFleet;

  beforeAll(async () => {
    fleet = await startTestFleet({
      servers: 1,
      databasesPerServer: 11,
      maxmemory: '16MiB',
      policy: 'automatic',
      leaseTtl: '2s',
    });
    for (const database of fleet.databases) {
      await untilSeen(fleet, database, 'well', ({ sightings }) => sightings.fromFollowerHost === 'up');
    }
  }, 120_000);
  afterAll(() => fleet.stop());

  it('is well: why says what each observer sees, and the workflow shows it', async () => {
    const { code, out } = await why(fleet, 'sessions-00');
    expect(code).toBe(0);
    expect(out).toContain('its leader is well');
    expect(out).toMatch(/agent of the follower's host +up/);
    const watch = fleet.dev.temporal.workflow.getHandle(workflowId('watchServer', SERVER));
    const view = await waitFor(
      async () => {
        const seen = await watch.query<WatchView>('watch');
        return seen.databases.every(({ verdict }) => verdict.state === 'well') ? seen : null;
      },
      { deadlineMs: 60 * SECOND, what: 'the workflow to show that all is well' },
    );
    expect(view.databases.map(({ database }) => database)).toEqual(fleet.databases);
    const { typedSearchAttributes } = await watch.describe();
    expect(JSON.stringify(typedSearchAttributes.getAll())).toContain(SERVER);
  });

  it('is watched once, however often the fleet is applied', async () => {
    const { out } = await run(fleet, 'apply', '--json');
    expect(JSON.parse(out)).toMatchObject({ watches: [{ server: SERVER, wasRunning: true, watched: true }] });
  });

  it('calls for the promotion of a leader that is killed, within milliseconds', async () => {
    const before = await fleet.record('sessions-00');
    const killedAt = await signalLeader(fleet, 'sessions-00', 'SIGKILL');
    const { ms } = await untilPromoted(fleet, before);
    const { at } = await promotionStarted(fleet, 'sessions-00');
    tell(
      `killed → promoteFollower started: ${String(at - killedAt)} ms; record changed: ${ms.toFixed(0)} ms`,
    );
    expect(at - killedAt).toBeLessThan(DOWN_AFTER);
    await untilSeen(fleet, 'sessions-00', 'well', ({ epoch }) => epoch === before.epoch + 1);
  });

  it('calls once for all that fail together', async () => {
    const names = ['sessions-01', 'sessions-02', 'sessions-03'];
    const before = await Promise.all(names.map((name) => fleet.record(name)));
    const killed = await Promise.all(names.map((name) => signalLeader(fleet, name, 'SIGKILL')));
    const promoted = await Promise.all(before.map((record) => untilPromoted(fleet, record)));
    const by = new Set(promoted.map(({ record }) => record.promotion?.by));
    tell(
      `3 killed → all records changed: ${String(Date.now() - Math.min(...killed))} ms, by ${[...by].join(', ')}`,
    );
    expect([...by]).toEqual(['promoteFollower/redis-01-a']);
    for (const name of names) expect(await promotion(fleet, name)).toBeNull();
  });

  it('promotes away from a leader that hangs, after downAfter', async () => {
    const before = await fleet.record('sessions-04');
    const stoppedAt = await signalLeader(fleet, 'sessions-04', 'SIGSTOP');
    await untilPromoted(fleet, before);
    const { at } = await promotionStarted(fleet, 'sessions-04');
    tell(`SIGSTOP → promoteFollower started: ${String(at - stoppedAt)} ms (downAfter ${String(DOWN_AFTER)})`);
    expect(at - stoppedAt).toBeGreaterThan(DOWN_AFTER / 2);
    expect(at - stoppedAt).toBeLessThan(10 * DOWN_AFTER);
  });

  it('does nothing when the link between leader and follower is cut and both are visible', async () => {
    const before = await fleet.record('sessions-05');
    const follower = await fleet.follower('sessions-05');
    const [, password] = await redisAt(fleet, follower, async (redis) => {
      const known = (await redis.config('GET', 'masterauth')) as [string, string];
      await redis.config('SET', 'masterauth', 'no such password');
      await redis.call('CLIENT', 'KILL', 'TYPE', 'master');
      return known;
    });
    const isDown = ({ sightings }: WatchedDatabase): boolean => sightings.followerLink?.up === false;
    const { verdict } = await untilSeen(fleet, 'sessions-05', 'well', isDown);
    expect(verdict.why).toBe("It answers as the leader; its follower's replication link to it is down.");
    await whileNothingIsDone(fleet, before, 3 * DOWN_AFTER);
    expect((await why(fleet, 'sessions-05')).out).toMatch(/follower's own replication link +down/);
    await redisAt(fleet, follower, (redis) => redis.config('SET', 'masterauth', password));
    await untilSeen(fleet, 'sessions-05', 'well', (seen) => !isDown(seen));
  });

  it('does nothing when only the control plane and the agents are locked out: the link is up, and it serves', async () => {
    const before = await fleet.record('sessions-05');
    const leader = await fleet.leader('sessions-05');
    const { administrator } = fleet.dev.credentials;
    await redisAt(fleet, leader, async (redis) => {
      await redis.call('ACL', 'SETUSER', 'rescue', 'on', `>${administrator}`, '~*', '+@all');
      await redis.call('ACL', 'SETUSER', 'redis-fleet', 'off');
      await redis.call('CLIENT', 'KILL', 'USER', 'redis-fleet', 'SKIPME', 'yes');
    });
    const isLockedOut = ({ sightings: { lease, fromFollowerHost } }: WatchedDatabase): boolean =>
      lease.state === 'held' && lease.pulse === 'silent' && fromFollowerHost === 'silent';
    const { verdict } = await untilSeen(fleet, 'sessions-05', 'doubted', isLockedOut);
    expect(verdict.why).toContain("but the follower's replication link to it is up");
    await whileNothingIsDone(fleet, before, 3 * DOWN_AFTER);
    const { Redis } = await import('ioredis');
    const rescue = new Redis({
      host: leader.address,
      port: leader.port,
      username: 'rescue',
      password: administrator,
    });
    await rescue.call('ACL', 'SETUSER', 'redis-fleet', 'on');
    rescue.disconnect();
    await untilSeen(fleet, 'sessions-05', 'well');
  });

  it('leaves a leader in maintenance to the engineer, says how to end it, and acts when it is ended', async () => {
    const before = await fleet.record('sessions-06');
    await run(
      fleet,
      'maintenance',
      'on',
      '--database',
      'sessions-06',
      '--reason',
      'new disk',
      '--by',
      'ana',
      '--for',
      '1h',
    );
    await untilSeen(fleet, 'sessions-06', 'well', ({ maintenance }) => maintenance !== null);
    await signalLeader(fleet, 'sessions-06', 'SIGKILL');
    await untilSeen(fleet, 'sessions-06', 'failed');
    await whileNothingIsDone(fleet, before, 2 * DOWN_AFTER);
    const { code, out } = await why(fleet, 'sessions-06');
    expect(code).toBe(1);
    expect(out).toContain('its leader has failed');
    expect(out).toContain('(ana: new disk)');
    expect(out).toContain('redis-fleet maintenance off --database sessions-06');
    expect((await cli(fleet.dev.env, ['status'])).out).toContain('database sessions-06 is in maintenance');
    await run(fleet, 'maintenance', 'off', '--database', 'sessions-06');
    const { ms } = await untilPromoted(fleet, before);
    tell(`maintenance ended → record changed: ${ms.toFixed(0)} ms`);
  });

  it('refuses a maintenance of what is not there', async () => {
    const { code, err } = await cli(fleet.dev.env, [
      'maintenance',
      'on',
      '--host',
      'redis-01-c',
      '--reason',
      'x',
    ]);
    expect(code).toBe(2);
    expect(err).toContain('Did you mean redis-01-a?');
    const both = ['maintenance', 'on', '--host', 'redis-01-a', '--fleet', '--reason', 'x'];
    expect((await cli(fleet.dev.env, both)).code).toBe(2);
  });

  it('does nothing when an agent is dead while its Redis lives, and why says it', async () => {
    const before = await fleet.record('sessions-07');
    await fleet.dev.hold('agent:redis-01-a');
    await untilSeen(fleet, 'sessions-07', 'well', ({ sightings }) => sightings.lease.state === 'nobody');
    await whileNothingIsDone(fleet, before, 3 * DOWN_AFTER);
    const { code, out } = await why(fleet, 'sessions-07');
    expect(code).toBe(0);
    expect(out).toContain('were it cut off, nobody could fence it');
    await fleet.dev.release('agent:redis-01-a');
    await untilSeen(fleet, 'sessions-07', 'well', ({ sightings }) => sightings.lease.state === 'held');
  });

  it('asks first where the policy of a database is ask, once the changed fleet is applied', async () => {
    const before = await fleet.record('sessions-07');
    await reapply(fleet, /(name: sessions-07, .*?maxmemory: 16MiB)/, '$1, policy: ask');
    await untilSeen(fleet, 'sessions-07', 'well', ({ policy }) => policy === 'ask');
    await signalLeader(fleet, 'sessions-07', 'SIGKILL');
    const { workflowId: id } = await promotionStarted(fleet, 'sessions-07');
    await untilSeen(fleet, 'sessions-07', 'failed', ({ attempt }) => attempt?.state === 'running');
    expect((await why(fleet, 'sessions-07')).out).toContain(`${id} is at work`);
    expect((await fleet.record('sessions-07')).epoch).toBe(before.epoch);
    const approve = ['runbook', 'approve', id, '--reason', 'it is dead'];
    await waitFor(async () => (await cli(fleet.dev.env, approve)).code === 0, {
      deadlineMs: 60 * SECOND,
      what: 'the promotion to wait for approval',
    });
    await untilPromoted(fleet, before);
  });

  it('only says what it sees where the policy is off', async () => {
    const before = await fleet.record('sessions-08');
    await reapply(fleet, /(name: sessions-08, .*?maxmemory: 16MiB)/, '$1, policy: off');
    await untilSeen(fleet, 'sessions-08', 'well', ({ policy }) => policy === 'off');
    await signalLeader(fleet, 'sessions-08', 'SIGKILL');
    await untilSeen(fleet, 'sessions-08', 'failed');
    await whileNothingIsDone(fleet, before, 2 * DOWN_AFTER);
    const { code, out } = await why(fleet, 'sessions-08');
    expect(code).toBe(1);
    expect(out).toContain('The policy for sessions-08 is off');
    expect(out).toContain('redis-fleet promote sessions-08');
  });

  it('does not call again and again for what was refused: leader and follower are both lost', async () => {
    const before = await fleet.record('sessions-10');
    const follower = await fleet.follower('sessions-10');
    process.kill(pidOf(fleet, 'sessions-10', follower), 'SIGKILL');
    await untilSeen(fleet, 'sessions-10', 'well', ({ sightings }) => sightings.followerLink === null);
    await signalLeader(fleet, 'sessions-10', 'SIGKILL');
    const { decision } = await untilSeen(
      fleet,
      'sessions-10',
      'failed',
      ({ attempt }) => attempt?.state === 'refused',
    );
    expect(decision.act).toBe('nothing');
    const { at } = await promotionStarted(fleet, 'sessions-10');
    const later = performance.now() + 5 * SECOND;
    await waitFor(() => performance.now() > later, { deadlineMs: 60 * SECOND, what: 'time to pass' });
    expect((await promotion(fleet, 'sessions-10'))?.at).toBe(at);
    const { out } = await why(fleet, 'sessions-10');
    expect(out).toMatch(/promoteFollower.sessions-10 did not promote it: .* It is tried again in \d+ s/);
    expect((await fleet.record('sessions-10')).epoch).toBe(before.epoch);
  });

  it('asks about what nobody knows', async () => {
    const { code, err } = await why(fleet, 'session-00');
    expect(code).toBe(2);
    expect(err).toContain('Did you mean sessions-00?');
  });

  it('says which command starts it where nobody watches', async () => {
    await fleet.dev.temporal.workflow.getHandle(workflowId('watchServer', SERVER)).cancel();
    const status = async (): Promise<string> => (await cli(fleet.dev.env, ['status'])).out;
    await waitFor(async () => (await status()).includes(`The watch of server ${SERVER} has said nothing`), {
      deadlineMs: 60 * SECOND,
      what: 'the status to miss the watch',
      everyMs: 500,
    });
    const { code, out } = await why(fleet, 'sessions-09');
    expect(code).toBe(1);
    expect(out).toContain('start the watch: redis-fleet apply');
    await run(fleet, 'apply');
    await waitFor(async () => (await why(fleet, 'sessions-09')).code === 0, {
      deadlineMs: 60 * SECOND,
      what: 'the watch to begin anew',
    });
    expect((await seenOf(fleet, 'sessions-09'))?.verdict.state).toBe('well');
  });
});
