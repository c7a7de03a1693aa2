/** What a fork needs while writes wait, how long they may, and what becomes of a child that outlives the pause. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { forkHeadroom } from '../../src/fleet/headroom.js';
import {
  judgeFork,
  judgePause,
  LONGEST_PAUSE_S,
  mayOutlastPause,
  mustEndNow,
  pausedForkHeadroom,
  pauseFor,
  pauseForTheRest,
  pauseNeeded,
} from '../../src/fleet/pausedFork.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { followerEndpoint, full, leaderEndpoint, MiB, processFacts, roomy } from './facts.js';

const record: DatabaseRecord = {
  database: 'sessions-00',
  server: 'redis-01',
  epoch: 3,
  leader: leaderEndpoint,
  follower: followerEndpoint,
  updatedAt: '2026-11-23T12:00:00Z',
  updatedBy: 'test',
};

const memories = fc
  .record({ total: fc.integer({ min: 1, max: 1e12 }), share: fc.double({ min: 0, max: 1, noNaN: true }) })
  .map(({ total, share }) => ({ total, available: Math.floor(total * share) }));
const sizes = fc.integer({ min: 0, max: 1e12 });

describe('a fork while writes wait', () => {
  test('fits where an ordinary one does not', () => {
    expect(forkHeadroom(full, 200 * MiB).fits).toBe(false);
    expect(pausedForkHeadroom(full, 200 * MiB)).toEqual({ fits: true, left: 202 * MiB });
    expect(pausedForkHeadroom({ ...full, available: 5 * MiB }, 200 * MiB)).toEqual({
      fits: false,
      short: 3 * MiB,
    });
  });

  test('is asked for where an ordinary one does not fit, for as long as it may take, and no longer than that', () => {
    const short = judgeFork(full, 200 * MiB, 1);
    expect(short).toMatchObject({ fits: false, needed: 200 * MiB, whilePaused: { fits: true }, seconds: 6 });
    expect(pauseFor(short)).toBe(6);
    expect(pauseFor(short, 20)).toBe(20);
    // Too long to be asked for; whoever asks for it may try.
    const large = judgeFork({ ...full, available: 300 * MiB }, 3_000 * MiB, 1);
    expect([pauseFor(large), pauseFor(large, LONGEST_PAUSE_S)]).toEqual([null, LONGEST_PAUSE_S]);
    // It fits anyway, or not even so.
    expect(pauseFor(judgeFork(roomy, 200 * MiB, 1), 20)).toBeNull();
    expect(pauseFor(judgeFork({ ...full, available: 5 * MiB }, 200 * MiB, 1), 20)).toBeNull();
  });

  test('is judged by what forks have cost, where that is known', () => {
    fc.assert(
      fc.property(memories, sizes, fc.double({ min: 0.05, max: 1, noNaN: true }), (memory, used, share) => {
        const needed = Math.ceil(used * share);
        expect(judgeFork(memory, used, share).fits).toBe(forkHeadroom(memory, needed).fits);
      }),
    );
  });

  test('never needs more memory than an ordinary one of a database that matters', () => {
    fc.assert(
      fc.property(memories, sizes, (memory, usedMemory) => {
        fc.pre(usedMemory >= 8 * MiB && forkHeadroom(memory, usedMemory).fits);
        expect(pausedForkHeadroom(memory, usedMemory).fits).toBe(true);
      }),
    );
  });

  test('is given more time the larger the database is', () => {
    expect(pauseNeeded(0)).toBe(2);
    expect(pauseNeeded(1024 * MiB)).toBe(23);
    fc.assert(
      fc.property(sizes, sizes, (a, b) => {
        expect(pauseNeeded(Math.min(a, b))).toBeLessThanOrEqual(pauseNeeded(Math.max(a, b)));
      }),
    );
  });
});

describe('a child that outlives the pause', () => {
  test('lives on only where an ordinary fork would have fitted', () => {
    expect(mayOutlastPause(roomy, 200 * MiB)).toEqual({ goesOn: true });
    expect(mayOutlastPause(full, 200 * MiB)).toMatchObject({ goesOn: false });
    fc.assert(
      fc.property(memories, sizes, (memory, usedMemory) => {
        expect(mayOutlastPause(memory, usedMemory).goesOn).toBe(forkHeadroom(memory, usedMemory).fits);
      }),
    );
  });

  test('ends when the reserve would be touched', () => {
    expect(mustEndNow(full)).toBe(false);
    expect(mustEndNow({ total: 4096 * MiB, available: 200 * MiB })).toBe(true);
  });

  test('says what would have been enough, if anything allowed would have been', () => {
    expect(pauseForTheRest(5, 500, 1_000)).toBe(17);
    expect(pauseForTheRest(5, 0, 1_000)).toBeNull();
    expect(pauseForTheRest(50, 10, 1_000)).toBeNull();
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 60, noNaN: true }), sizes, sizes, (spent, done, total) => {
        const enough = pauseForTheRest(spent, done, total);
        if (enough === null) return;
        expect(enough).toBeGreaterThanOrEqual(spent);
        expect(enough).toBeLessThanOrEqual(LONGEST_PAUSE_S);
      }),
    );
  });
});

describe('writes are paused only', () => {
  const sight = { record, fork: 'save' as const, leader: processFacts(), follower: null };
  const linked = processFacts({
    role: 'follower',
    link: {
      address: leaderEndpoint.address,
      port: leaderEndpoint.port,
      up: true,
      synchronising: false,
      offset: 1,
    },
  });

  test('where the leader leads and is idle', () => {
    expect(judgePause(sight)).toEqual({ usedMemory: 200 * MiB, seconds: 6, problem: null });
    expect(judgePause({ ...sight, fork: 'nothing', seconds: 3 })).toMatchObject({
      seconds: 3,
      problem: null,
    });
    expect(judgePause({ ...sight, leader: 'refused' }).problem).toContain('does not answer (refused)');
    expect(judgePause({ ...sight, leader: linked }).problem).toContain('does not lead');
    expect(judgePause({ ...sight, leader: processFacts({ saving: true }) }).problem).toContain(
      'forked already',
    );
    expect(judgePause({ ...sight, leader: processFacts({ loading: true }) }).problem).toContain(
      'still loads',
    );
  });

  test('for a follower that runs and lacks the data; else the command is named that brings one up', () => {
    const adrift = processFacts({ role: 'follower', link: null });
    const filling = { ...sight, fork: 'follower' as const };
    expect(judgePause({ ...filling, follower: adrift }).problem).toBeNull();
    expect(judgePause(filling).problem).toContain('redis-fleet bring-up sessions-00 --pause-writes 6');
    expect(judgePause({ ...filling, follower: 'refused' }).problem).toContain('--pause-writes 6');
    expect(judgePause({ ...filling, record: { ...record, follower: null } }).problem).toContain(
      'has no follower',
    );
    expect(judgePause({ ...filling, follower: linked }).problem).toContain('nobody has to fork');
    expect(judgePause({ ...filling, follower: processFacts() }).problem).toContain('not written over');
  });
});
