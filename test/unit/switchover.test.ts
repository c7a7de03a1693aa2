import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProcessFacts } from '../../src/fleet/facts.js';
import { DEFAULT_DETECTION } from '../../src/fleet/fleet.js';
import { BLACK_HOLE } from '../../src/fleet/gates.js';
import type { HostLease } from '../../src/fleet/lease.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import {
  handOverStart,
  judgeSwitchover,
  MOST_LAG,
  type SideSeen,
  type SwitchoverSight,
} from '../../src/fleet/switchover.js';
import {
  FOREIGN_ID,
  followerEndpoint as follower,
  ID,
  leaderEndpoint as leader,
  MiB,
  processFacts,
  thirdEndpoint as third,
} from './facts.js';

const fleet = {
  servers: [
    {
      name: 'redis-01',
      hosts: [
        { name: leader.host, zone: 'az-a', address: leader.address, memory: 4096 * MiB },
        { name: follower.host, zone: 'az-b', address: follower.address, memory: 4096 * MiB },
      ],
    },
  ],
  detection: DEFAULT_DETECTION,
} as const;

const record: DatabaseRecord = {
  database: 'sessions-03',
  server: 'redis-01',
  epoch: 7,
  leader,
  follower,
  updatedAt: '2026-01-01T00:00:00.000Z',
  updatedBy: 'provisionServer/redis-01',
};

const replica = { ...follower, state: 'online', offset: 10 * MiB, lag: 1 };

function leading(changes: Partial<ProcessFacts> = {}): ProcessFacts {
  return processFacts({ replicas: [replica], ...changes });
}

function following(
  at: Pick<Endpoint, 'address' | 'port'>,
  changes: Partial<ProcessFacts> = {},
): ProcessFacts {
  const link = { address: at.address, port: at.port, up: true, synchronising: false, offset: 10 * MiB };
  return processFacts({ role: 'follower', link, ...changes });
}

function sight(changes: Partial<SwitchoverSight> = {}): SwitchoverSight {
  return {
    record,
    leader: { reachable: true, facts: leading() },
    follower: { reachable: true, facts: following(leader) },
    openGates: [],
    followerLease: null,
    ...changes,
  };
}

function why(changes: Partial<SwitchoverSight>): string {
  const verdict = judgeSwitchover(sight(changes), fleet);
  if (verdict.may) throw new Error('it may');
  return verdict.why;
}

function followerIs(facts: ProcessFacts): Partial<SwitchoverSight> {
  return { follower: { reachable: true, facts } };
}

const lease: HostLease = {
  host: follower.host,
  agent: 'x',
  term: 1,
  renewal: 1,
  ttl: 5_000,
  at: '2026-01-01T00:00:00.000Z',
  processes: {},
  leaders: {},
};

describe('a follower may take over', () => {
  test('when it is connected, has all and stands in another zone', () => {
    expect(judgeSwitchover(sight(), fleet)).toEqual({ may: true });
    expect(judgeSwitchover(sight({ followerLease: lease, expectedLeader: leader.host }), fleet)).toEqual({
      may: true,
    });
  });

  test('when it is a little behind a leader that is written to', () => {
    const behind = following(leader, { position: { id: ID, offset: 10 * MiB - MOST_LAG } });
    expect(judgeSwitchover(sight(followerIs(behind)), fleet)).toEqual({ may: true });
  });
});

describe('it may not, and the sentence says what to do', () => {
  const link = { address: leader.address, port: leader.port, up: true, synchronising: false, offset: 0 };
  const away = { reachable: false, why: 'nothing listens there' } as const;
  const cases: readonly [name: string, changes: Partial<SwitchoverSight>, says: string, todo: string][] = [
    [
      'nobody leads yet',
      { record: { ...record, epoch: 0 } },
      'still being provisioned',
      'redis-fleet status',
    ],
    [
      'another one leads than was believed',
      { expectedLeader: follower.host },
      `is led by ${leader.host} (127.0.1.1:6300) since epoch 7, and not by ${follower.host}`,
      'redis-fleet status',
    ],
    [
      'there is none',
      { record: { ...record, follower: null } },
      'has no follower',
      'redis-fleet bring-up sessions-03',
    ],
    [
      'its host is not in the file',
      { record: { ...record, follower: third } },
      'Host redis-02-b of database sessions-03 is not in the applied fleet file',
      'redis-fleet apply',
    ],
    [
      'its agent was stopped',
      { followerLease: { ...lease, left: true } },
      'The agent of redis-01-b was stopped',
      'redis-fleet agent --host redis-01-b',
    ],
    [
      'its host lost its lease',
      { followerLease: { ...lease, broken: { by: 'promoteFollower/x', why: 'silent' } } },
      'lost its lease to promoteFollower/x',
      'redis-fleet agent --host redis-01-b',
    ],
    [
      'the leader is away',
      { leader: away },
      'does not answer (nothing listens there)',
      'redis-fleet promote sessions-03',
    ],
    [
      'the leader loads',
      { leader: { reachable: true, facts: leading({ loading: true }) } },
      'still loads its data',
      'Wait until it serves',
    ],
    [
      'the leader does not lead',
      { leader: { reachable: true, facts: following(third) } },
      'does not lead: it follows 127.0.2.2:6300',
      'redis-fleet check',
    ],
    ['it is away', { follower: away }, 'does not answer', 'redis-fleet bring-up sessions-03'],
    [
      'it loads',
      followerIs(following(leader, { loading: true })),
      'still loads',
      'Wait until it has caught up',
    ],
    ['it leads as well', followerIs(leading()), 'leads as well', 'redis-fleet check'],
    ['it follows nobody', followerIs(following(BLACK_HOLE)), 'follows 127.0.0.1:1', 'redis-fleet bring-up'],
    [
      'it synchronises',
      followerIs(following(leader, { link: { ...link, synchronising: true } })),
      'full synchronisation',
      'Wait until that ended',
    ],
    [
      'its link is down',
      followerIs(following(leader, { link: { ...link, up: false } })),
      'lost its connection to its leader',
      'redis.log',
    ],
    [
      'the leader does not know it',
      { leader: { reachable: true, facts: leading({ replicas: [] }) } },
      "in the leader's own eyes (unknown to it)",
      'start again',
    ],
    [
      'it waits for its first data',
      { leader: { reachable: true, facts: leading({ replicas: [{ ...replica, state: 'wait_bgsave' }] }) } },
      '(wait_bgsave)',
      'redis-fleet bring-up',
    ],
    [
      'it has another history',
      followerIs(following(leader, { position: { id: FOREIGN_ID, offset: 10 * MiB } })),
      'another replication history',
      'redis-fleet bring-up',
    ],
    [
      'it has long been silent',
      { leader: { reachable: true, facts: leading({ replicas: [{ ...replica, lag: 3 }] }) } },
      'last acknowledged 3 s ago',
      'start again',
    ],
    [
      'it is too far behind',
      followerIs(following(leader, { position: { id: ID, offset: 10 * MiB - MOST_LAG - 1 } })),
      `is ${MOST_LAG + 1} bytes behind its leader, and may be ${MOST_LAG}`,
      'Wait until it has caught up',
    ],
    [
      'it writes a backup',
      followerIs(following(leader, { saving: true })),
      'is writing a backup',
      'Wait until that ended',
    ],
    [
      'it may use less memory',
      followerIs(following(leader, { maxmemory: 128 * MiB })),
      'would refuse writes that the leader takes',
      'Give both the same maxmemory',
    ],
    [
      'somebody waits for a fork at it',
      followerIs(following(leader, { replicas: [{ ...third, state: 'wait_bgsave', offset: 0, lag: 0 }] })),
      '127.0.2.2:6300 waits at redis-01-b',
      'let it go',
    ],
    [
      'its gate is open',
      { openGates: ['repl-diskless-sync-delay is 0'] },
      'has an open gate (repl-diskless-sync-delay is 0)',
      'redis-fleet check',
    ],
  ];

  test.each(cases)('because %s', (_name, changes, says, todo) => {
    const sentence = why(changes);
    expect(sentence).toContain(says);
    expect(sentence).toContain(todo);
    expect(sentence).toMatch(/ Nothing was changed\.$/);
    expect(sentence).not.toMatch(/undefined|null|NaN/);
  });

  test('because both are in one zone', () => {
    const [a, b] = fleet.servers[0].hosts;
    const oneZone = {
      ...fleet,
      servers: [{ name: 'redis-01', hosts: [a, { ...b, zone: 'az-a' }] as const }],
    };
    const verdict = judgeSwitchover(sight(), oneZone);
    expect(verdict).toMatchObject({ may: false });
    expect(JSON.stringify(verdict)).toContain('a failure of that zone would take both');
    // In a move the old leader does not stay.
    expect(judgeSwitchover(sight({ withFollowerOfItsOwn: true }), oneZone)).toEqual({ may: true });
  });

  test('because the fleet allows less lag than a pause could catch up with', () => {
    const strict = { ...fleet, detection: { ...DEFAULT_DETECTION, lagLimit: 100 } };
    const behind = following(leader, { position: { id: ID, offset: 10 * MiB - 101 } });
    expect(judgeSwitchover(sight(followerIs(behind)), strict)).toMatchObject({ may: false });
  });
});

describe('where an attempt begins', () => {
  const up = (facts: ProcessFacts): SideSeen => ({ seen: 'up', facts });
  const gone: SideSeen = { seen: 'gone', why: 'refused' };
  const silent: SideSeen = { seen: 'silent', why: 'no answer' };
  const oldSides = [
    up(leading()),
    up(following(follower)),
    up(following(BLACK_HOLE)),
    up(following(third)),
    gone,
    silent,
  ];
  const newSides = [
    up(following(leader)),
    up(following(leader, { position: { id: FOREIGN_ID, offset: 1 } })),
    up(following(leader, { loading: true })),
    up(following(BLACK_HOLE)),
    up(processFacts()),
    gone,
    silent,
  ];
  const start = (old: SideSeen, next: SideSeen) => handOverStart(leader, follower, old, next);
  const leads = (side: SideSeen): boolean => side.seen === 'up' && side.facts.role === 'leader';

  test('first attempt: the old leader leads', () => {
    expect(start(up(leading()), up(following(leader)))).toEqual({ at: 'the beginning' });
  });
  test('killed after the demotion', () => {
    expect(start(up(following(follower)), up(following(leader)))).toEqual({ at: 'demoted' });
  });
  test('killed after the promotion', () => {
    expect(start(up(following(follower)), up(processFacts()))).toEqual({ at: 'promoted' });
  });
  test('killed after the promotion, and the old leader with it, or started anew', () => {
    expect(start(gone, up(processFacts()))).toEqual({ at: 'promoted' });
    expect(start(up(following(BLACK_HOLE)), up(processFacts()))).toEqual({ at: 'promoted' });
  });
  test('killed after the demotion, and the new leader with it, or started anew: back to the old one', () => {
    expect(start(up(following(follower)), gone).at).toBe('undoing');
    expect(start(up(following(follower)), up(following(BLACK_HOLE))).at).toBe('undoing');
  });
  test('killed after the demotion, and the new leader is frozen: it may have been told to lead', () => {
    expect(start(up(following(follower)), silent).at).toBe('in doubt');
  });
  test('both lead, or one that leads faces one that cannot be asked: not ours to end', () => {
    expect(start(up(leading()), up(processFacts())).at).toBe('nowhere');
    expect(start(silent, up(processFacts())).at).toBe('nowhere');
  });

  test('there is never a second leader, whatever was left behind', () => {
    fc.assert(
      fc.property(fc.constantFrom(...oldSides), fc.constantFrom(...newSides), (old, next) => {
        switch (start(old, next).at) {
          case 'the beginning':
            return leads(old) && !leads(next);
          case 'demoted':
            return !leads(old) && next.seen === 'up' && !leads(next);
          case 'promoted':
            // Recorded only where the old one certainly takes no writes.
            return leads(next) && !leads(old) && old.seen !== 'silent';
          case 'undoing':
            // Given back only where the new one certainly does not lead.
            return !leads(old) && old.seen === 'up' && next.seen !== 'silent' && !leads(next);
          case 'in doubt':
            return next.seen === 'silent';
          case 'nowhere':
            return true;
        }
      }),
    );
  });

  test('what an attempt of ours can leave behind is always taken up again', () => {
    const ours: readonly [SideSeen, SideSeen][] = [
      [up(leading()), up(following(leader))],
      [up(leading()), gone],
      [up(leading()), silent],
      [up(following(follower)), up(following(leader))],
      [up(following(follower)), up(following(BLACK_HOLE))],
      [up(following(follower)), gone],
      [up(following(follower)), silent],
      [up(following(follower)), up(processFacts())],
      [gone, up(processFacts())],
    ];
    for (const [old, next] of ours) expect(start(old, next).at).not.toBe('nowhere');
  });
});
