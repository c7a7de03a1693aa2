import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseWay, explainImpossible, type BringUpChoice, type ChosenWay } from '../../src/fleet/bringUp.js';
import { forkHeadroom, withinBudget } from '../../src/fleet/headroom.js';
import {
  bringUpFacts,
  chainSource,
  dataFile,
  FOREIGN_ID,
  followerEndpoint,
  full,
  ID,
  leaderEndpoint,
  MiB,
  processFacts,
  roomy,
  thirdEndpoint,
} from './facts.js';

const recent = { id: ID, offset: 9 * MiB };

function chosen(choice: BringUpChoice): ChosenWay {
  if (!choice.possible) {
    throw new Error(`impossible: ${JSON.stringify(choice.rejected)}`);
  }
  return choice.chosen;
}

const crowdedLeader = { endpoint: leaderEndpoint, facts: processFacts(), memory: full };

describe('the way that spares the leader most is taken', () => {
  test('a follower that is connected already needs nothing', () => {
    const facts = processFacts({
      role: 'follower',
      link: {
        address: leaderEndpoint.address,
        port: leaderEndpoint.port,
        up: true,
        synchronising: false,
        offset: 1,
      },
    });
    const choice = chooseWay(
      bringUpFacts({ follower: { endpoint: followerEndpoint, process: { state: 'running', facts } } }),
    );
    expect(chosen(choice)).toEqual({ way: 'following' });
  });

  test('its own data file comes first, even where a backup and another follower exist', () => {
    const choice = chooseWay(
      bringUpFacts({
        ownFile: { found: true, file: dataFile(recent) },
        backup: { found: true, file: dataFile(recent, '/backup.rdb') },
        sources: [chainSource()],
      }),
    );
    expect(chosen(choice)).toMatchObject({ way: 'own-files', running: false });
  });

  test('a process that runs and follows nobody goes on from what it has in memory', () => {
    const facts = processFacts({
      role: 'follower',
      position: recent,
      link: { address: '127.0.0.1', port: 1, up: false, synchronising: false, offset: recent.offset },
    });
    const choice = chooseWay(
      bringUpFacts({ follower: { endpoint: followerEndpoint, process: { state: 'running', facts } } }),
    );
    expect(chosen(choice)).toMatchObject({ way: 'own-files', running: true });
  });

  test('a file that fell out of the backlog is passed over for the backup, and the answer says why', () => {
    const choice = chooseWay(
      bringUpFacts({
        ownFile: { found: true, file: dataFile({ id: ID, offset: 100 }) },
        backup: { found: true, file: dataFile(recent, '/backup.rdb') },
      }),
    );
    expect(chosen(choice)).toMatchObject({ way: 'backup', file: '/backup.rdb' });
    expect(choice.rejected).toEqual([
      { way: 'own-files', why: expect.stringContaining('bytes are gone') as string },
    ]);
  });

  test('without a usable file another follower gives its data', () => {
    const choice = chooseWay(
      bringUpFacts({
        backup: { found: true, file: dataFile({ id: FOREIGN_ID, offset: 5 }, '/foreign.rdb') },
        sources: [chainSource()],
      }),
    );
    expect(chosen(choice)).toMatchObject({ way: 'chain', source: thirdEndpoint });
  });

  test('a source that was looked at after the leader, and is ahead of it by what was written since, is no stranger', () => {
    const later = chainSource({ position: { id: ID, offset: 10 * MiB + 50 } });
    const choice = chooseWay(bringUpFacts({ sources: [later] }));
    expect(chosen(choice)).toMatchObject({ way: 'chain', source: thirdEndpoint });
    const stranger = chainSource({ position: { id: FOREIGN_ID, offset: 10 * MiB + 50 } });
    expect(chosen(chooseWay(bringUpFacts({ sources: [stranger] })))).toEqual({ way: 'full' });
  });

  test('another follower whose host is full, or that is not connected, gives nothing', () => {
    const crowded = { ...chainSource(), memory: full };
    const adrift = chainSource({ link: null });
    const choice = chooseWay(bringUpFacts({ sources: [crowded, adrift] }));
    expect(chosen(choice)).toEqual({ way: 'full' });
    expect(choice.rejected.find(({ way }) => way === 'chain')?.why).toMatch(/more memory.*; .*not connected/);
  });

  test('where not even a fork of the leader fits, nothing is done and the answer says what would help', () => {
    const facts = bringUpFacts({ leader: crowdedLeader });
    const choice = chooseWay(facts);
    expect(choice.possible).toBe(false);
    const text = explainImpossible('sessions-00', choice.rejected, facts);
    expect(text).toContain('nothing was changed');
    expect(text).toContain('--backup FILE');
    expect(choice.rejected.map(({ way }) => way)).toEqual(['own-files', 'backup', 'chain', 'full']);
  });

  test('writes that may wait make room for a fork, and only where there is none', () => {
    const facts = bringUpFacts({ leader: crowdedLeader });
    const { rejected } = chooseWay(facts);
    expect(explainImpossible('sessions-00', rejected, facts)).toMatch(
      /as the last resort.*redis-fleet bring-up sessions-00 --pause-writes 6$/,
    );
    const paused = chooseWay({ ...facts, pauseSeconds: 8 });
    expect(chosen(paused)).toEqual({ way: 'full', pauseSeconds: 8 });
    expect(chosen(chooseWay(bringUpFacts({ pauseSeconds: 8 })))).toEqual({ way: 'full' });
  });

  test('writes that wait do not help where there is no memory at all, or the leader is too large', () => {
    const nothing = { ...crowdedLeader, memory: { ...full, available: MiB } };
    const refused = chooseWay(bringUpFacts({ leader: nothing, pauseSeconds: 60 }));
    expect(refused.possible).toBe(false);
    expect(refused.rejected.at(-1)?.why).toContain('and even while writes wait');
    const huge = { ...crowdedLeader, facts: processFacts({ usedMemory: 6_000 * MiB }) };
    const facts = bringUpFacts({ leader: huge });
    expect(explainImpossible('sessions-00', chooseWay(facts).rejected, facts)).not.toContain(
      '--pause-writes',
    );
  });

  test('an engineer may ask for one way only, and gets that or a refusal', () => {
    const base = { ownFile: { found: true as const, file: dataFile(recent) }, sources: [chainSource()] };
    expect(chosen(chooseWay(bringUpFacts({ ...base, only: 'chain' })))).toMatchObject({ way: 'chain' });
    expect(chooseWay(bringUpFacts({ ...base, only: 'backup' })).possible).toBe(false);
  });
});

describe('the backlog is made wide enough before, not found too short after', () => {
  test('a fast writer widens it', () => {
    const choice = chooseWay(
      bringUpFacts({ ownFile: { found: true, file: dataFile(recent) }, writeRate: 5 * MiB }),
    );
    const way = chosen(choice);
    expect(way.way === 'own-files' && way.backlogBytes).toBeGreaterThan(100 * MiB);
  });

  test('where the wider one does not fit on the leader’s host, that way is refused', () => {
    const choice = chooseWay(
      bringUpFacts({
        ownFile: { found: true, file: dataFile(recent) },
        leader: { endpoint: leaderEndpoint, facts: processFacts(), memory: full },
        writeRate: 50 * MiB,
      }),
    );
    expect(choice.rejected[0]?.why).toMatch(/does not fit on redis-01-a/);
  });

  test('property: a chosen way never needs more of the leader’s host than it can spend', () => {
    const arbitrary = fc.record({
      available: fc.integer({ min: 0, max: 4096 }),
      used: fc.integer({ min: 1, max: 2048 }),
      rate: fc.nat(200),
      offset: fc.nat(12),
      hasFile: fc.boolean(),
      hasSource: fc.boolean(),
    });
    fc.assert(
      fc.property(arbitrary, ({ available, used, rate, offset, hasFile, hasSource }) => {
        const memory = { total: 4096 * MiB, available: available * MiB };
        const leader = processFacts({ usedMemory: used * MiB });
        const choice = chooseWay(
          bringUpFacts({
            leader: { endpoint: leaderEndpoint, facts: leader, memory },
            ownFile: hasFile
              ? { found: true, file: dataFile({ id: ID, offset: offset * MiB }) }
              : { found: false, why: 'none' },
            sources: hasSource ? [chainSource()] : [],
            writeRate: rate * MiB,
          }),
        );
        if (!choice.possible) {
          expect(choice.rejected).toHaveLength(4);
          return;
        }
        const way = choice.chosen;
        if (way.way === 'full') {
          expect(forkHeadroom(memory, leader.usedMemory).fits).toBe(true);
        } else if (way.way !== 'following') {
          const growth = way.backlogBytes - leader.backlog.size;
          expect(growth).toBeLessThanOrEqual(Math.max(0, memory.available - memory.total * 0.05));
        }
      }),
    );
  });
});

describe('the memory of a host', () => {
  const machine = { total: 1000, available: 900 };

  test('a host that shares its machine has what the fleet file gives it, less what its Redis holds', () => {
    expect(withinBudget(machine, 400, 150)).toEqual({ total: 400, available: 250 });
  });

  test('a machine that is full for other reasons has no more than is left', () => {
    expect(withinBudget({ total: 1000, available: 90 }, 400, 150)).toEqual({ total: 400, available: 90 });
  });

  test('a host beyond its budget has nothing left, not less', () => {
    expect(withinBudget(machine, 400, 500)).toEqual({ total: 400, available: 0 });
  });
});

describe('headroom of a fork', () => {
  test('every page may be copied, and a twentieth of the host stays free', () => {
    expect(forkHeadroom(roomy, 200 * MiB)).toMatchObject({ fits: true });
    expect(forkHeadroom(full, 10 * MiB)).toMatchObject({ fits: false });
    expect(forkHeadroom({ total: 1000, available: 150 }, 100)).toEqual({ fits: true, left: 0 });
    expect(forkHeadroom({ total: 1000, available: 150 }, 101)).toEqual({ fits: false, short: 1 });
  });
});
