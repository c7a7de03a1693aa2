/** What an agent does with its leaders, and that nobody else leads while one of them serves. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LEASE_MARGIN, fencedAfterLosingFollower, leaseTimes } from '../../src/fleet/lease.js';
import {
  mayLead,
  nextMove,
  standingOf,
  witnessesOf,
  type LeadingProcess,
} from '../../src/fleet/leaseKeeping.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import { runWorld, type Outage, type WorldOptions } from './leaseWorld.js';

const here: Endpoint = { host: 'redis-01-a', address: '10.0.1.1', port: 6300 };
const there: Endpoint = { host: 'redis-01-b', address: '10.0.2.1', port: 6300 };
const elsewhere: Endpoint = { host: 'redis-02-a', address: '10.0.1.2', port: 6300 };

function record(changes: Partial<DatabaseRecord> = {}): DatabaseRecord {
  return {
    database: 'sessions-00',
    server: 'redis-01',
    epoch: 3,
    leader: here,
    follower: there,
    updatedAt: '2026-01-01T00:00:00.000Z',
    updatedBy: 'test',
    ...changes,
  };
}

const times = leaseTimes({ ttl: 5_000, downAfter: 1_000 });
const leading: LeadingProcess = {
  standing: 'leader',
  witnessed: true,
  fence: 'open',
  closingSince: null,
  provenAt: null,
  asked: null,
  consulted: { at: 0, term: 1, mayLead: true },
};
const move = (process: Partial<LeadingProcess>, now: number, term = 1) =>
  nextMove({ ...leading, ...process }, { term, sentAt: 0, afterBreak: false }, times, now);

describe('a leader', () => {
  it('is left alone while the lease is renewed', () => {
    expect(move({}, 0)).toBe('none');
    expect(move({}, 1_999)).toBe('none');
  });

  it('is asked about its follower once a renewal is overdue, well before it matters', () => {
    expect(move({}, 2_000)).toBe('prove');
    expect(move({ asked: { at: 2_000, pending: true } }, 2_100)).toBe('none');
    expect(move({ asked: { at: 2_000, pending: false } }, 2_100)).toBe('prove');
  });

  it('serves beyond that only on acknowledgements that are fresh', () => {
    const asked = { at: 3_800, pending: false };
    expect(move({ provenAt: 3_700, asked }, 3_850)).toBe('none');
    expect(move({ provenAt: 3_700, asked }, 3_900)).toBe('prove');
    expect(move({ provenAt: 3_050, asked }, 3_849)).toBe('none');
    expect(move({ provenAt: 3_050, asked }, 3_850)).toBe('fence');
    expect(move({ provenAt: 3_050, asked: { at: 3_800, pending: true } }, 3_850)).toBe('fence');
  });

  it('is asked once before it is fenced by an agent that stood still', () => {
    const before = { provenAt: 1_000, asked: { at: 1_000, pending: false } };
    expect(move(before, 20_000)).toBe('prove');
    expect(move({ provenAt: 1_000, asked: { at: 20_000, pending: true } }, 20_200)).toBe('none');
    expect(move({ provenAt: 1_000, asked: { at: 20_000, pending: true } }, 20_250)).toBe('fence');
    expect(move({ provenAt: 1_000, asked: { at: 20_000, pending: false } }, 20_050)).toBe('fence');
    expect(move({ provenAt: 20_000, asked: { at: 20_000, pending: false } }, 20_050)).toBe('none');
  });

  it('that does not obey is killed, and one that obeyed is left as it is', () => {
    expect(move({ fence: 'closing', closingSince: 4_000 }, 4_149)).toBe('none');
    expect(move({ fence: 'closing', closingSince: 4_000 }, 4_150)).toBe('kill');
    expect(move({ fence: 'closed' }, 60_000)).toBe('none');
  });

  it('that was let serve, and has not heard of it before the lease ran out, is fenced behind that word', () => {
    expect(move({ fence: 'opening' }, 3_000)).toBe('none');
    expect(move({ fence: 'opening', asked: { at: 3_700, pending: false } }, 3_800)).toBe('fence');
  });

  it('that nobody could replace serves on, whatever becomes of Consul', () => {
    expect(move({ witnessed: false }, 1e9)).toBe('none');
  });

  it('whose record was never seen, or that is being provisioned, is nobody’s to fence', () => {
    expect(move({ standing: 'unknown' }, 1e9)).toBe('none');
    expect(move({ standing: 'not yet' }, 1e9)).toBe('none');
  });

  it('that was fenced serves again after its record was read within this very term, and not before', () => {
    const closed = { fence: 'closed', consulted: null } as const;
    expect(move(closed, 100, 0)).toBe('none');
    expect(move(closed, 100)).toBe('consult');
    expect(move({ ...closed, consulted: { at: 50, term: 0, mayLead: true } }, 100)).toBe('consult');
    expect(move({ ...closed, consulted: { at: 50, term: 1, mayLead: true } }, 100)).toBe('serve');
    expect(move({ ...closed, consulted: { at: 50, term: 1, mayLead: true } }, 500)).toBe('consult');
    expect(move({ ...closed, consulted: { at: 50, term: 1, mayLead: false } }, 500)).toBe('none');
    expect(move({ ...closed, consulted: { at: 3_700, term: 1, mayLead: true } }, 3_750)).toBe('none');
  });

  it('has its record read once in every term, since it may have changed while nobody here could see it', () => {
    expect(move({ consulted: null }, 100, 0)).toBe('none');
    expect(move({ consulted: null }, 100)).toBe('consult');
    expect(move({}, 100, 2)).toBe('consult');
  });

  it('whose lease was broken takes no writes while a promotion owns its record, and is killed if it does not obey', () => {
    const broken = { term: 2, sentAt: 0, afterBreak: true };
    const owned = { ...leading, consulted: { at: 50, term: 2, mayLead: false } };
    expect(nextMove(owned, broken, times, 100)).toBe('fence');
    expect(nextMove(owned, { ...broken, afterBreak: false }, times, 100)).toBe('none');
    const closing = { ...owned, fence: 'closing', closingSince: 100 } as const;
    expect(nextMove(closing, broken, times, 200)).toBe('none');
    expect(nextMove(closing, broken, times, 250)).toBe('kill');
  });

  it('whose lease was broken lives on acknowledgements until its record was read within the new term', () => {
    const broken = { term: 2, sentAt: 1_000, afterBreak: true };
    const unread = { ...leading, consulted: { at: 0, term: 1, mayLead: true } };
    const moveThen = (changes: Partial<LeadingProcess>, now: number) =>
      nextMove({ ...unread, ...changes }, broken, times, now);
    expect(moveThen({}, 1_010)).toBe('prove');
    expect(moveThen({ asked: { at: 1_010, pending: true } }, 1_020)).toBe('consult');
    expect(moveThen({ asked: { at: 1_010, pending: true } }, 1_260)).toBe('fence');
    expect(moveThen({ asked: { at: 1_010, pending: false }, provenAt: 1_010 }, 1_050)).toBe('consult');
    expect(moveThen({ witnessed: false }, 1_300)).toBe('consult');
  });

  it('that its record does not name is demoted under a lease, and fenced like any other without', () => {
    expect(move({ standing: 'not named' }, 100)).toBe('depose');
    expect(move({ standing: 'not named' }, 100, 0)).toBe('none');
    expect(move({ standing: 'not named', asked: { at: 3_700, pending: false } }, 3_800)).toBe('fence');
  });
});

describe('a record', () => {
  it('says where a process stands, and whose acknowledgement counts', () => {
    expect(standingOf(here, null)).toBe('unknown');
    expect(standingOf(here, record({ epoch: 0 }))).toBe('not yet');
    expect(standingOf(here, record())).toBe('leader');
    expect(standingOf(there, record())).toBe('follower');
    expect(standingOf(elsewhere, record())).toBe('not named');
    expect(standingOf(elsewhere, record({ extraFollowers: [elsewhere] }))).toBe('follower');
    expect(witnessesOf(here, record())).toEqual([there]);
    expect(witnessesOf(here, record({ follower: null }))).toEqual([]);
    expect(witnessesOf(here, record({ follower: null, extraFollowers: [elsewhere] }))).toEqual([elsewhere]);
    expect(witnessesOf(there, record())).toEqual([here]);
  });

  it('lets nobody serve again whom a promotion owns', () => {
    const operation = (type: string) => ({
      type,
      workflowId: `${type}/sessions-00`,
      runId: 'r',
      urgency: 'urgent' as const,
      since: '2026-01-01T00:00:00.000Z',
    });
    expect(mayLead(here, record())).toBe(true);
    expect(mayLead(here, record({ operation: operation('switchover') }))).toBe(true);
    expect(mayLead(here, record({ operation: operation('promoteFollower') }))).toBe(false);
    expect(mayLead(there, record())).toBe(false);
  });
});

describe('the times of a lease', () => {
  it('leave a margin, whatever the settings', () => {
    fc.assert(
      fc.property(settings, ({ ttl, downAfter }) => {
        const {
          requestWithin,
          retryEvery,
          renewEvery,
          proveFrom,
          fenceFrom,
          obeyWithin,
          proofWithin,
          proofHolds,
          proveEvery,
        } = leaseTimes({
          ttl,
          downAfter,
        });
        expect(renewEvery).toBeLessThan(proveFrom);
        // One renewal without an answer is made good before anybody is fenced.
        expect(renewEvery + requestWithin + retryEvery).toBeLessThan(fenceFrom);
        expect(proveFrom).toBeLessThan(fenceFrom);
        expect(fenceFrom + obeyWithin).toBeLessThanOrEqual(ttl * 0.95);
        // Lost once, an acknowledgement still comes in time by the next question.
        expect(proveEvery + proofWithin).toBeLessThanOrEqual(proofHolds + 1e-6);
        const alone = fencedAfterLosingFollower({ ttl, downAfter });
        expect(alone).toBeLessThan(Math.max(500, downAfter));
        // Cut off from all at once: whoever waits for the end of the lease waits for this, too.
        expect(renewEvery + alone).toBeLessThan(ttl + LEASE_MARGIN);
      }),
    );
  });
});

const settings = fc.record({
  ttl: fc.integer({ min: 1_000, max: 8_000 }),
  downAfter: fc.integer({ min: 100, max: 4_000 }),
});
const LENGTH = 20_000;
const outages = (most: number): fc.Arbitrary<readonly Outage[]> =>
  fc.array(
    fc
      .tuple(fc.integer({ min: 500, max: 12_000 }), fc.integer({ min: 20, max: 9_000 }))
      .map(([from, length]) => [from, from + length] as const),
    { maxLength: most },
  );
const world = (changes: { [K in keyof WorldOptions]?: fc.Arbitrary<WorldOptions[K]> }) =>
  fc.record<WorldOptions>({
    settings,
    seed: fc.integer(),
    lengthMs: fc.constant(LENGTH),
    consul: outages(3),
    link: outages(3),
    frozen: fc.constant([]),
    deaf: fc.constant([]),
    lateAnswers: fc.boolean(),
    promoter: fc.constant(true),
    ...changes,
  });

describe('in a world of failing cables and late answers', () => {
  it('no leader serves once somebody else was promoted, as long as its agent runs', () => {
    let promoted = 0;
    let fenced = 0;
    fc.assert(
      fc.property(world({}), (options) => {
        const result = runWorld(options);
        if (result.fences > 0) fenced++;
        if (result.promotedAt === null) return;
        promoted++;
        expect(result.servedLast).toBeLessThan(result.promotedAt);
      }),
      { numRuns: 1_000 },
    );
    // The world is one in which such things happen.
    expect(promoted).toBeGreaterThan(50);
    expect(fenced).toBeGreaterThan(50);
  });

  it('one that does not obey is killed in time', () => {
    let killed = 0;
    fc.assert(
      fc.property(world({ deaf: outages(2) }), (options) => {
        const result = runWorld(options);
        if (result.killed) killed++;
        if (result.promotedAt !== null) expect(result.servedLast).toBeLessThan(result.promotedAt);
      }),
      { numRuns: 1_000 },
    );
    expect(killed).toBeGreaterThan(20);
  });

  it('an agent that stood still lets its leader serve until it has asked once, and no longer', () => {
    let overlapped = 0;
    fc.assert(
      fc.property(world({ frozen: outages(2), lateAnswers: fc.constant(false) }), (options) => {
        const result = runWorld(options);
        const { promotedAt, servedLast } = result;
        if (promotedAt === null || servedLast < promotedAt) return;
        overlapped++;
        const thawed = Math.max(...options.frozen.map(([, until]) => until));
        const { firstProofWithin, obeyWithin } = leaseTimes(options.settings);
        expect(servedLast).toBeLessThanOrEqual(thawed + firstProofWithin + obeyWithin + 60);
      }),
      { numRuns: 1_000 },
    );
    expect(overlapped).toBeGreaterThan(0);
  });

  it('an outage of Consul fences nobody whose follower acknowledges', () => {
    fc.assert(
      fc.property(world({ link: fc.constant([]), lateAnswers: fc.constant(false) }), (options) => {
        expect(runWorld(options)).toMatchObject({ promotedAt: null, fences: 0, servesAtEnd: true });
      }),
      { numRuns: 300 },
    );
  });

  it('a lost follower fences nobody while the lease is renewed', () => {
    fc.assert(
      fc.property(world({ consul: fc.constant([]), lateAnswers: fc.constant(false) }), (options) => {
        expect(runWorld(options)).toMatchObject({ promotedAt: null, fences: 0, servesAtEnd: true });
      }),
      { numRuns: 300 },
    );
  });

  it('whoever was fenced, and not replaced, serves again once all is well', () => {
    const quiet = (list: readonly Outage[]): readonly Outage[] =>
      list.map(([from, until]) => [from, Math.min(until, 12_000)] as const);
    fc.assert(
      fc.property(world({}), fc.boolean(), (options, fencedAtStart) => {
        const result = runWorld({
          ...options,
          fencedAtStart,
          consul: quiet(options.consul),
          link: quiet(options.link),
        });
        if (result.promotedAt === null) expect(result.servesAtEnd).toBe(true);
        else expect(result.servesAtEnd).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });
});
