/** Leaders fail under load, their followers take over, and the old leaders come back as followers. */

import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { openClient } from '../../src/testbed/clients.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import {
  bringUp,
  broughtUp,
  caughtUpFollower,
  expectHolds,
  move,
  redisAt,
  SECOND,
  untilStep,
} from './bringUpStage.js';
import {
  detected,
  expectPromoted,
  leaseKnows,
  leadersInCatalog,
  outcomeOf,
  promote,
  promoted,
  signal,
  startFollowingWriter,
  writes,
} from './promotionStage.js';
import { startByHand } from './startByHand.js';

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 5, name: 'promotion' });
});
afterAll(async () => {
  await fleet.stop();
});

function tell(what: string, figures: Readonly<Record<string, number>>): void {
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${Math.round(value)}`);
  process.stdout.write(`${what}: ${shown.join(', ')}\n`);
}

describe('a leader crashes under load', () => {
  const DATABASE = 'sessions-00';
  let before: DatabaseRecord;

  test('its follower leads at once, and what was acknowledged is there', async () => {
    before = await fleet.record(DATABASE);
    const writer = await startFollowingWriter(fleet, DATABASE);
    signal(fleet, DATABASE, before.leader, 'SIGKILL');
    const began = Date.now();
    const end = await promoted(fleet, await promote(fleet, { database: DATABASE, ...detected(DATABASE) }));
    await writes(writer);
    const { longestGapMs } = await writer.stop();
    const after = await fleet.record(DATABASE);
    expectPromoted(before, after);
    expect(outcomeOf(end, DATABASE, 'promoted')).toMatchObject({ to: before.follower, from: before.leader });
    expect(end.runbook.steps.map(({ name }) => name)).not.toContain('approve the promotion');
    expect(end.runbook.notes.join(' ')).toContain(`redis-fleet bring-up ${DATABASE}`);
    const { lost } = await writer.verify(after.leader, fleet.application);
    // What was on its way to the follower when the process died.
    expect(lost).toBeLessThanOrEqual(10);
    tell('Leader killed', {
      'record after ms': Date.parse(after.promotion?.at ?? '') - began,
      'outage ms': longestGapMs,
      lost,
    });
  });

  test('the catalog names the new leader alone', async () => {
    const { leader } = await fleet.record(DATABASE);
    await waitFor(
      async () => {
        expect(await leadersInCatalog(fleet, DATABASE)).toEqual([`${leader.address}:${leader.port}`]);
        return true;
      },
      { deadlineMs: 60 * SECOND, what: 'the catalog to follow' },
    );
  });

  test('the old leader is brought up as the follower, and nothing of the new one is lost', async () => {
    const writer = await startFollowingWriter(fleet, DATABASE);
    const id = await bringUp(fleet, { database: DATABASE, host: before.leader.host });
    const { name } = await untilStep(fleet, id, { state: 'waiting for approval' });
    expect(name).toBe('synchronise from the leader');
    await move(fleet, id, 'approve', 'it died without a file');
    const told = await broughtUp(fleet, id);
    expect(told.leader).toEqual(before.follower);
    expect(told.follower).toEqual(before.leader);
    await writer.stop();
    expect(writer.counts.failed).toBe(0);
    await expectHolds(fleet, writer, await caughtUpFollower(fleet, DATABASE));
  });
});

test('an old leader whose file is ahead comes back from the new one, not from its file', async () => {
  const database = 'sessions-01';
  const before = await fleet.record(database);
  const { leader, follower } = before;
  if (follower === null) throw new Error('no follower');
  const writer = await startFollowingWriter(fleet, database);
  await writer.stop();
  await caughtUpFollower(fleet, database);
  // Writes that its follower never gets, and a file that has them.
  await redisAt(fleet, follower, (redis) => redis.replicaof('127.0.0.1', 1));
  await redisAt(fleet, leader, async (redis) => {
    for (let at = 0; at < 50; at++) await redis.set(`only-here-${at}`, 'x'.repeat(100));
    await redis.save();
  });
  const ahead = (await fleet.facts(leader)).position.offset;
  await leaseKnows(fleet, database, leader, ahead);
  signal(fleet, database, leader, 'SIGKILL');
  const end = await promoted(fleet, await promote(fleet, { database, ...detected(database) }));
  const behind = outcomeOf(end, database, 'promoted').behindBytes;
  expect(behind).toBeGreaterThan(5_000);
  expect(end.runbook.notes.join(' ')).toContain('behind');

  const more = await startFollowingWriter(fleet, database);
  const id = await bringUp(fleet, { database, host: leader.host });
  await untilStep(fleet, id, { state: 'waiting for approval' });
  await move(fleet, id, 'approve', 'its file is of another history');
  const told = await broughtUp(fleet, id);
  expect(told.way).toBe('full');
  expect(told.rejected.find(({ way }) => way === 'own-files')?.why).toContain(
    'the data file in its own directory',
  );
  await more.stop();
  await expectHolds(fleet, more, await caughtUpFollower(fleet, database));
  await expectHolds(fleet, writer, await fleet.leader(database));
});

test('a leader that hangs is killed by its agent; when it would wake, nobody is there to acknowledge', async () => {
  const database = 'sessions-02';
  const before = await fleet.record(database);
  const writer = await startFollowingWriter(fleet, database);
  // A client that stays with the old leader, whatever the record says.
  const stale = openClient(before.leader, fleet.application, 1_000);
  await stale.connect();
  const pid = signal(fleet, database, before.leader, 'SIGSTOP');
  const queued = stale.set('stale', 'after').then(
    () => 'acknowledged',
    () => 'failed',
  );
  const began = Date.now();
  const end = await promoted(fleet, await promote(fleet, { database, ...detected(database) }));
  const after = await fleet.record(database);
  expectPromoted(before, after);
  await writes(writer);
  const { longestGapMs } = await writer.stop();
  expect(end.runbook.notes.join(' ')).toMatch(/was killed|is gone/);
  expect(fleet.pidOf(database, before.leader.host)).not.toBe(pid);
  expect(await queued).toBe('failed');
  stale.disconnect();
  const { lost } = await writer.verify(after.leader, fleet.application);
  expect(lost).toBeLessThanOrEqual(10);
  tell('Leader hung', {
    'record after ms': Date.parse(after.promotion?.at ?? '') - began,
    'outage ms': longestGapMs,
    lost,
  });
});

test('a hung leader that nobody has missed yet is watched for downAfter before that is believed', async () => {
  const database = 'sessions-03';
  const before = await fleet.record(database);
  const writer = await startFollowingWriter(fleet, database);
  signal(fleet, database, before.leader, 'SIGSTOP');
  const began = Date.now();
  await promoted(fleet, await promote(fleet, { database }));
  const after = await fleet.record(database);
  expectPromoted(before, after);
  await writes(writer);
  await writer.stop();
  const recordAfterMs = Date.parse(after.promotion?.at ?? '') - began;
  expect(recordAfterMs).toBeGreaterThanOrEqual(fleet.dev.fleet.detection.downAfter);
  tell('Leader hung, promoted by hand', { 'record after ms': recordAfterMs });
});

test('a leader that was killed and started again by somebody is passed over: it follows nobody and takes no writes', async () => {
  const database = 'sessions-04';
  const before = await fleet.record(database);
  const writer = await startFollowingWriter(fleet, database);
  signal(fleet, database, before.leader, 'SIGKILL');
  startByHand(fleet, database, before.leader);
  await waitFor(async () => (await fleet.facts(before.leader)).role === 'follower', {
    deadlineMs: 60 * SECOND,
    what: 'the process started by hand to answer',
  });
  await promoted(fleet, await promote(fleet, { database, ...detected(database) }));
  const after = await fleet.record(database);
  expectPromoted(before, after);
  await writes(writer);
  await writer.stop();
  const { lost } = await writer.verify(after.leader, fleet.application);
  expect(lost).toBeLessThanOrEqual(10);
});
