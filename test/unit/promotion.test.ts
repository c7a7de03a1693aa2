/** Which follower leads next, and when an engineer has to say so first. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_DETECTION } from '../../src/fleet/fleet.js';
import type { Fleet } from '../../src/fleet/fleet.js';
import { promotedAgain, promotedByOwner, tripsBreaker, withoutAgent } from '../../src/fleet/promotion.js';
import { choosePromotion, nextFollower } from '../../src/fleet/promotionChoice.js';
import type { PromotionCase } from '../../src/fleet/promotion.js';
import type { Candidate, CandidateSeen, PromotionQuestion } from '../../src/fleet/promotionChoice.js';
import type { DatabaseRecord, Endpoint, Operation } from '../../src/fleet/record.js';
import { FOREIGN_ID, followerEndpoint, ID, leaderEndpoint, MiB, OLD_ID, thirdEndpoint } from './facts.js';

type Answering = Extract<CandidateSeen, { answers: true }>;

const AT = 10 * MiB;

function follower(changes: Partial<Answering> = {}): Answering {
  return {
    answers: true,
    role: 'follower',
    loading: false,
    position: { id: ID, offset: AT },
    previous: null,
    link: { up: false, synchronising: false, silentForMs: null, downForMs: 1_000 },
    ...changes,
  };
}

const silent: CandidateSeen = { answers: false, why: 'no connection within 200 ms' };

function question(changes: Partial<PromotionQuestion> = {}): PromotionQuestion {
  return {
    database: 'sessions-00',
    leader: leaderEndpoint,
    leaderPosition: { id: ID, offset: AT },
    followers: [{ endpoint: followerEndpoint, seen: follower() }],
    reborn: null,
    lagLimit: DEFAULT_DETECTION.lagLimit,
    lossAllowed: false,
    ...changes,
  };
}

const only = (seen: CandidateSeen): readonly Candidate[] => [{ endpoint: followerEndpoint, seen }];

describe('a follower', () => {
  test('that has all its leader is known to have had leads', () => {
    expect(choosePromotion(question())).toEqual({
      may: true,
      to: followerEndpoint,
      behindBytes: 0,
      loss: null,
    });
  });

  test('that is further than what was published last is not behind', () => {
    const seen = follower({ position: { id: ID, offset: AT + 500 } });
    expect(choosePromotion(question({ followers: only(seen) }))).toMatchObject({ may: true, behindBytes: 0 });
  });

  test('whose leader is not known to have gone further leads, if it lost it just now', () => {
    const just = question({ leaderPosition: null });
    expect(choosePromotion(just)).toMatchObject({ may: true, behindBytes: 0 });
    const longAgo = follower({
      link: { up: false, synchronising: false, silentForMs: null, downForMs: 3_600_000 },
    });
    const choice = choosePromotion({ ...just, followers: only(longAgo) });
    expect(choice).toMatchObject({ may: false });
    expect(choice.may ? '' : choice.why).toContain('lost its leader 60 min ago');
  });

  test('that went on under the id of a leader that took over shares its history', () => {
    const seen = follower({
      position: { id: FOREIGN_ID, offset: AT + 9 },
      previous: { id: ID, offset: AT - 99 },
    });
    expect(choosePromotion(question({ followers: only(seen) }))).toMatchObject({ may: true, behindBytes: 0 });
  });

  test('that an earlier attempt made lead is taken, although another one is further', () => {
    const led = follower({
      role: 'leader',
      position: { id: FOREIGN_ID, offset: AT + 10 },
      previous: { id: ID, offset: AT - 99 },
      link: null,
    });
    const choice = choosePromotion(
      question({
        followers: [
          { endpoint: followerEndpoint, seen: follower() },
          { endpoint: thirdEndpoint, seen: led },
        ],
      }),
    );
    expect(choice).toMatchObject({ may: true, to: thirdEndpoint, behindBytes: 100 });
  });
});

describe('refused, unless an engineer names the database', () => {
  const cases: readonly [string, Answering, string][] = [
    [
      'further behind than the limit',
      follower({ position: { id: ID, offset: AT - 17 * MiB + 20 * MiB } }),
      '17 MiB behind',
    ],
    ['of another history', follower({ position: { id: OLD_ID, offset: AT } }), 'never fully synchronised'],
    [
      'in the middle of a full synchronisation',
      follower({ link: { up: false, synchronising: true, silentForMs: null, downForMs: 1_000 } }),
      'in the middle of a full synchronisation',
    ],
    [
      'a leader that nobody made from a follower',
      follower({ role: 'leader', position: { id: OLD_ID, offset: AT }, link: null }),
      'never fully synchronised',
    ],
  ];
  test.each(cases)('%s', (_, seen, why) => {
    const asked = question({ leaderPosition: { id: ID, offset: AT + 20 * MiB }, followers: only(seen) });
    const refused = choosePromotion(asked);
    expect(refused).toMatchObject({ may: false });
    const sentence = refused.may ? '' : refused.why;
    expect(sentence).toContain(why);
    expect(sentence).toContain('redis-fleet promote sessions-00 --allow-data-loss sessions-00');
    const allowed = choosePromotion({ ...asked, lossAllowed: true });
    expect(allowed).toMatchObject({ may: true, to: followerEndpoint });
    expect(allowed.may ? allowed.loss : null).toContain(why);
  });

  test('one that never had data: it follows nobody, at offset 0, and its leader is not known', () => {
    const fresh = follower({
      position: { id: OLD_ID, offset: 0 },
      link: { up: false, synchronising: false, silentForMs: null, downForMs: null },
    });
    const choice = choosePromotion(question({ leaderPosition: null, followers: only(fresh) }));
    expect(choice.may ? '' : choice.why).toContain('never fully synchronised');
  });
});

describe('nobody can lead', () => {
  test('while the only follower loads, whatever an engineer allows', () => {
    for (const lossAllowed of [false, true]) {
      const choice = choosePromotion(question({ followers: only(follower({ loading: true })), lossAllowed }));
      expect(choice.may ? '' : choice.why).toContain('Wait until it has loaded');
    }
  });

  test('when leader and follower are both lost: nothing is changed, and the sentence says what to do', () => {
    const choice = choosePromotion(question({ followers: only(silent), lossAllowed: true }));
    const why = choice.may ? '' : choice.why;
    expect(why).toContain('Leader and follower of sessions-00 are both lost');
    expect(why).toContain('Nothing was changed');
    expect(why).toContain(leaderEndpoint.host);
    expect(why).toContain('restore a backup');
  });

  test('without any follower', () => {
    const choice = choosePromotion(question({ followers: [] }));
    expect(choice.may ? '' : choice.why).toContain('has no follower that could lead');
  });
});

describe('a leader that was started anew', () => {
  const reborn = follower({ position: { id: ID, offset: AT - 4 * MiB } });

  test('leads again only when nobody else can, and an engineer says so', () => {
    const asked = question({ followers: only(silent), reborn });
    const refused = choosePromotion(asked);
    expect(refused.may ? '' : refused.why).toContain('to let that one lead again');
    expect(choosePromotion({ ...asked, lossAllowed: true })).toMatchObject({
      may: true,
      to: leaderEndpoint,
      behindBytes: 4 * MiB,
    });
    const withFollower = question({ reborn, lossAllowed: true });
    expect(choosePromotion(withFollower)).toMatchObject({ may: true, to: followerEndpoint, loss: null });
  });

  test('does not come before a follower that is behind, but less', () => {
    const behind = follower({ position: { id: ID, offset: AT - 1 * MiB } });
    const choice = choosePromotion(
      question({ followers: only(behind), reborn, lagLimit: 1, lossAllowed: true }),
    );
    expect(choice).toMatchObject({ may: true, to: followerEndpoint, behindBytes: MiB });
  });
});

describe('whatever the followers look like', () => {
  const offsets = fc.integer({ min: 0, max: 64 * MiB });
  const seen: fc.Arbitrary<CandidateSeen> = fc.oneof(
    fc.constant(silent),
    fc.record({
      answers: fc.constant(true as const),
      role: fc.constantFrom('leader' as const, 'follower' as const),
      loading: fc.boolean(),
      position: fc.record({ id: fc.constantFrom(ID, OLD_ID), offset: offsets }),
      previous: fc.option(fc.record({ id: fc.constantFrom(ID, FOREIGN_ID), offset: offsets })),
      link: fc.option(
        fc.record({
          up: fc.boolean(),
          synchronising: fc.boolean(),
          silentForMs: fc.option(fc.integer({ min: 0, max: 100_000 })),
          downForMs: fc.option(fc.integer({ min: 0, max: 100_000 })),
        }),
      ),
    }),
  );
  const endpoints = [followerEndpoint, thirdEndpoint, { ...thirdEndpoint, host: 'redis-03-b', port: 6301 }];
  const questions = fc
    .record({
      seen: fc.array(seen, { maxLength: 3 }),
      reborn: fc.option(seen),
      leaderPosition: fc.option(fc.record({ id: fc.constant(ID), offset: offsets })),
      lagLimit: fc.integer({ min: 0, max: 32 * MiB }),
      lossAllowed: fc.boolean(),
    })
    .map(({ seen: all, ...rest }) =>
      question({
        ...rest,
        followers: all.flatMap((one, at) => {
          const endpoint = endpoints[at];
          return endpoint === undefined ? [] : [{ endpoint, seen: one }];
        }),
      }),
    );

  test('nobody leads who is known to lack more than the limit, loads, or does not answer, without being named', () => {
    fc.assert(
      fc.property(questions, (asked) => {
        const choice = choosePromotion(asked);
        if (!choice.may) {
          expect(choice.why).toContain('Nothing was changed');
          return;
        }
        const found = [...asked.followers, { endpoint: leaderEndpoint, seen: asked.reborn ?? silent }].find(
          ({ endpoint }) => endpoint.host === choice.to.host,
        );
        expect(found?.seen).toMatchObject({ answers: true, loading: false });
        if (choice.loss !== null) expect(asked.lossAllowed).toBe(true);
        else expect(choice.behindBytes).toBeLessThanOrEqual(asked.lagLimit);
        if (choice.to.host === leaderEndpoint.host) expect(asked.lossAllowed).toBe(true);
      }),
    );
  });

  test('an engineer who allows a loss never gets less than without', () => {
    fc.assert(
      fc.property(questions, (asked) => {
        const without = choosePromotion({ ...asked, lossAllowed: false });
        const allowed = choosePromotion({ ...asked, lossAllowed: true });
        if (without.may) expect(allowed).toEqual(without);
      }),
    );
  });

  test('of followers of one history, none that may lead is further than the one that does', () => {
    fc.assert(
      fc.property(fc.array(offsets, { minLength: 1, maxLength: 3 }), (all) => {
        const followers = all.flatMap((offset, at): Candidate[] => {
          const endpoint = endpoints[at];
          return endpoint === undefined
            ? []
            : [{ endpoint, seen: follower({ position: { id: ID, offset } }) }];
        });
        const choice = choosePromotion(question({ followers, lagLimit: 64 * MiB }));
        const chosen = followers.find(({ endpoint }) => choice.may && endpoint === choice.to);
        const at = chosen?.seen.answers === true ? chosen.seen.position.offset : -1;
        expect(at).toBe(Math.max(...all));
      }),
    );
  });
});

const operation: Operation = {
  type: 'promoteFollower',
  workflowId: 'promoteFollower/sessions-00',
  runId: 'run-1',
  urgency: 'urgent',
  since: '2026-01-01T00:00:00.000Z',
};

function record(changes: Partial<DatabaseRecord> = {}): DatabaseRecord {
  return {
    database: 'sessions-00',
    server: 'redis-01',
    epoch: 3,
    leader: leaderEndpoint,
    follower: followerEndpoint,
    updatedAt: '2026-01-01T00:00:00.000Z',
    updatedBy: 'x',
    ...changes,
  };
}

const NOON = Date.parse('2026-01-01T12:00:00.000Z');
const promotionAt = (ms: number): NonNullable<DatabaseRecord['promotion']> => ({
  at: new Date(ms).toISOString(),
  by: 'promoteFollower/x',
  runId: 'run-0',
  from: leaderEndpoint,
});

describe('a database that was promoted a moment ago', () => {
  test('is not promoted again without a word, and is after a while', () => {
    expect(promotedAgain(record(), DEFAULT_DETECTION, NOON)).toBeNull();
    const now = promotedAgain(record({ promotion: promotionAt(NOON - 30_000) }), DEFAULT_DETECTION, NOON);
    expect(now).toContain('promoted 30 s ago');
    const before = record({ promotion: promotionAt(NOON - DEFAULT_DETECTION.notAgainWithin) });
    expect(promotedAgain(before, DEFAULT_DETECTION, NOON)).toBeNull();
  });

  test('by the very run that owns it is not promoted again by that run', () => {
    const done = { ...promotionAt(NOON), by: operation.workflowId, runId: operation.runId };
    expect(promotedByOwner(record({ operation, promotion: done }))).toBe(true);
    expect(promotedByOwner(record({ operation, promotion: { ...done, runId: 'run-2' } }))).toBe(false);
    expect(promotedByOwner(record({ promotion: done }))).toBe(false);
    expect(promotedByOwner(record({ operation }))).toBe(false);
  });
});

describe('the breaker', () => {
  const fleetOf = (servers: number): Pick<Fleet, 'servers' | 'detection'> => ({
    detection: DEFAULT_DETECTION,
    servers: Array.from({ length: servers }, (_, at) => ({
      name: `redis-${at}`,
      hosts: [host(at, 'a'), host(at, 'b')],
    })),
  });
  const host = (server: number, side: string): Fleet['servers'][number]['hosts'][number] => ({
    name: `redis-${server}-${side}`,
    zone: `az-${side}`,
    address: '127.0.0.1',
    memory: 1,
  });
  const leaderOn = (server: number): Endpoint => ({
    host: `redis-${server}-a`,
    address: '127.0.0.1',
    port: 6300 + server,
  });
  const failing = (servers: readonly number[]) =>
    servers.map((server) => ({ database: `db-${server}`, leader: leaderOn(server) }));

  test('lets two servers fail in the smallest fleet, and asks for the third', () => {
    expect(tripsBreaker(failing([0, 1]), [], fleetOf(3), NOON)).toBeNull();
    expect(tripsBreaker(failing([0, 1, 2]), [], fleetOf(3), NOON)).toContain('Leaders on 3 of 3 servers');
  });

  test('counts what other promotions own, and what was promoted within the last minute', () => {
    const owned = record({ database: 'db-7', leader: leaderOn(7), operation });
    const recent = record({
      database: 'db-8',
      leader: leaderOn(1),
      promotion: { ...promotionAt(NOON - 59_000), from: leaderOn(8) },
    });
    const old = record({ database: 'db-9', promotion: { ...promotionAt(NOON - 61_000), from: leaderOn(9) } });
    const planned = record({
      database: 'db-6',
      leader: leaderOn(6),
      operation: { ...operation, type: 'switchover' },
    });
    const asks = (others: readonly DatabaseRecord[]): boolean =>
      tripsBreaker(failing([0]), others, fleetOf(4), NOON) !== null;
    expect(asks([owned, old, planned])).toBe(false);
    expect(asks([owned, recent])).toBe(true);
  });

  test('asks exactly when more servers than two and than the share have failing leaders', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), (servers, hit) => {
        const chosen = Array.from({ length: Math.min(hit, servers) }, (_, at) => at);
        const asks = tripsBreaker(failing(chosen), [], fleetOf(servers), NOON) !== null;
        expect(asks).toBe(chosen.length > Math.max(2, servers / 2));
      }),
    );
  });

  test('asks nobody where nothing has failed', () => {
    const owned = [5, 6, 7].map((at) => record({ database: `db-${at}`, leader: leaderOn(at), operation }));
    expect(tripsBreaker([], owned, fleetOf(8), NOON)).toBeNull();
  });
});

describe('a lease that ran out', () => {
  const found: PromotionCase = {
    database: 'sessions-00',
    epoch: 3,
    leader: leaderEndpoint,
    verdict: { state: 'failed', why: 'It is silent.', fence: 'none' },
    fencing: 'lease',
    leaderPosition: null,
    choice: { may: true, to: followerEndpoint, behindBytes: 0, loss: null },
    again: null,
  };

  test('fences nothing where a watch saw the leader serve on after its agent was gone', () => {
    expect(withoutAgent(found, new Set(['redis-09-a']))).toEqual(found);
    const agentless = new Set([leaderEndpoint.host]);
    expect(withoutAgent(found, agentless)).toMatchObject({ fencing: null, verdict: { fence: 'impossible' } });
    const failed = { state: 'failed', why: 'It is silent.', fence: 'lease' } as const;
    const waiting: PromotionCase = { ...found, fencing: null, verdict: failed };
    expect(withoutAgent(waiting, agentless)).toMatchObject({ verdict: { fence: 'impossible' } });
  });

  test('is not asked about where the process itself is known to be gone', () => {
    const gone: PromotionCase = { ...found, fencing: 'gone' };
    expect(withoutAgent(gone, new Set([leaderEndpoint.host]))).toEqual(gone);
  });
});

test('who follows the new leader is the most advanced of those that are left and answer', () => {
  const behind = follower({ position: { id: ID, offset: 5 } });
  const all: readonly Candidate[] = [
    { endpoint: followerEndpoint, seen: follower() },
    { endpoint: thirdEndpoint, seen: behind },
  ];
  expect(nextFollower(followerEndpoint, all)).toEqual(thirdEndpoint);
  expect(nextFollower(thirdEndpoint, all)).toEqual(followerEndpoint);
  expect(
    nextFollower(followerEndpoint, [...all.slice(0, 1), { endpoint: thirdEndpoint, seen: silent }]),
  ).toBeNull();
});
