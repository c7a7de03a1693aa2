import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeLeader } from '../../src/fleet/failure.js';
import type { LeaderSightings, LeaseSighting, Sighting } from '../../src/fleet/failure.js';
import type { Pulse } from '../../src/fleet/lease.js';

const DOWN_AFTER = 1_000;

/** A leader that everybody sees well. */
const WELL: LeaderSightings = {
  database: 'sessions-00',
  control: { seen: 'leading' },
  lease: { state: 'held', pulse: 'up' },
  fromFollowerHost: 'up',
  followerLink: { up: true, silentForMs: 0 },
  downAfterMs: DOWN_AFTER,
};
const SILENT: Sighting = { seen: 'silent', forMs: DOWN_AFTER };
const LINK_DOWN = { up: false, silentForMs: 0 };

function judge(seen: Partial<LeaderSightings>) {
  return judgeLeader({ ...WELL, ...seen });
}

const pulse = fc.constantFrom<Pulse>('up', 'loading', 'gone', 'silent');
const anySighting = fc.oneof(
  fc.constantFrom<Sighting>(
    { seen: 'leading' },
    { seen: 'not leading', loading: false },
    { seen: 'not leading', loading: true },
    { seen: 'reborn' },
    { seen: 'loading' },
    { seen: 'refused' },
  ),
  fc.integer({ min: 0, max: 5_000 }).map((forMs): Sighting => ({ seen: 'silent', forMs })),
);
const anyLease = fc.oneof(
  fc.option(pulse, { nil: null }).map((seen): LeaseSighting => ({ state: 'held', pulse: seen })),
  fc.constantFrom<LeaseSighting>({ state: 'ran out' }, { state: 'nobody' }),
  fc.integer({ min: 0, max: 5_000 }).map((leftMs): LeaseSighting => ({ state: 'running out', leftMs })),
);
const anyLink = fc.option(fc.record({ up: fc.boolean(), silentForMs: fc.integer({ min: 0, max: 5_000 }) }), {
  nil: null,
});
const anything = fc.record({
  database: fc.constant('sessions-00'),
  control: anySighting,
  lease: anyLease,
  fromFollowerHost: fc.option(pulse, { nil: null }),
  followerLink: anyLink,
  downAfterMs: fc.constant(DOWN_AFTER),
});

describe('who is believed', () => {
  test('the control plane alone promotes nobody, whatever it sees', () => {
    fc.assert(
      fc.property(anySighting, (control) => {
        expect(judge({ control }).state).not.toBe('failed');
        const nobodyElse = { fromFollowerHost: null, followerLink: null };
        for (const state of ['ran out', 'nobody'] as const) {
          expect(judge({ control, ...nobodyElse, lease: { state } }).state).not.toBe('failed');
        }
      }),
    );
  });

  test('the agent of its own host alone promotes nobody', () => {
    fc.assert(
      fc.property(anyLease, (lease) => {
        expect(judge({ lease }).state).not.toBe('failed');
        const unsure: Sighting = { seen: 'silent', forMs: 10 };
        const nobodyElse = { control: unsure, fromFollowerHost: null, followerLink: null };
        expect(judge({ lease, ...nobodyElse }).state).not.toBe('failed');
      }),
    );
  });

  test("the follower's side alone promotes nobody: its link and the agent beside it are one observer", () => {
    fc.assert(
      fc.property(anyLink, fc.option(pulse, { nil: null }), (followerLink, fromFollowerHost) => {
        expect(judge({ followerLink, fromFollowerHost }).state).not.toBe('failed');
        const unsure: Sighting = { seen: 'silent', forMs: 10 };
        const nobodyElse = { control: unsure, lease: { state: 'ran out' } } as const;
        expect(judge({ followerLink, fromFollowerHost, ...nobodyElse }).state).not.toBe('failed');
      }),
    );
  });

  test('a leader that the control plane sees leading is never promoted away', () => {
    fc.assert(
      fc.property(anything, (sightings) => {
        expect(judgeLeader({ ...sightings, control: { seen: 'leading' } }).state).not.toBe('failed');
      }),
    );
  });

  test('a living link vetoes, unless the process is certainly gone', () => {
    fc.assert(
      fc.property(anything, (sightings) => {
        const verdict = judgeLeader({ ...sightings, followerLink: { up: true, silentForMs: 0 } });
        const gone = sightings.lease.state === 'held' && sightings.lease.pulse === 'gone';
        if (gone && sightings.control.seen === 'refused') expect(verdict.state).toBe('failed');
        else expect(verdict.state).not.toBe('failed');
      }),
    );
  });

  test('its own agent vetoes while its lease is fresh, for a process that may still lead', () => {
    fc.assert(
      fc.property(anything, (sightings) => {
        fc.pre(sightings.control.seen !== 'not leading' && sightings.control.seen !== 'reborn');
        const verdict = judgeLeader({ ...sightings, lease: { state: 'held', pulse: 'up' } });
        expect(verdict.state).not.toBe('failed');
      }),
    );
  });

  test('a leader without an answer for less than downAfter counts as unseen, not as missed', () => {
    const verdict = judge({
      control: { seen: 'silent', forMs: DOWN_AFTER - 1 },
      lease: { state: 'held', pulse: 'silent' },
      fromFollowerHost: null,
      followerLink: null,
    });
    expect(verdict).toEqual({
      state: 'doubted',
      why: 'The agent of its host gets no answer from it; but nobody else says so.',
    });
  });

  test('every failure has two reasons, and every verdict says why', () => {
    fc.assert(
      fc.property(anything, (sightings) => {
        const verdict = judgeLeader(sightings);
        expect(verdict.why).toMatch(/^[A-Z].*\.$/);
        if (verdict.state === 'failed') expect(verdict.why).toContain(' and ');
      }),
    );
  });
});

describe('what happens to leaders', () => {
  test('killed a moment ago: that the agent beside the follower has not heard of it yet changes nothing', () => {
    expect(
      judge({
        control: { seen: 'silent', forMs: 0 },
        lease: { state: 'held', pulse: 'gone' },
        followerLink: LINK_DOWN,
      }),
    ).toEqual({
      state: 'failed',
      why: "The agent of its host says that the process is gone and the follower's replication link to it is down.",
      fence: 'none',
    });
  });

  test('killed: its agent and the network say at once that it is gone; nobody has to be fenced', () => {
    const killed = judge({ control: { seen: 'refused' }, lease: { state: 'held', pulse: 'gone' } });
    expect(killed).toEqual({
      state: 'failed',
      why: 'Its host refuses the connection and the agent of its host says that the process is gone.',
      fence: 'none',
    });
    const notYetReconnected = judge({
      control: { seen: 'silent', forMs: 3 },
      lease: { state: 'held', pulse: 'gone' },
      followerLink: LINK_DOWN,
    });
    expect(notYetReconnected).toMatchObject({ state: 'failed', fence: 'none' });
  });

  test('killed, and its agent with it: believed once the lease is not held any more', () => {
    const dead = { control: { seen: 'refused' }, followerLink: LINK_DOWN, fromFollowerHost: 'gone' } as const;
    expect(judge({ ...dead, lease: { state: 'held', pulse: 'up' } }).state).toBe('doubted');
    expect(judge({ ...dead, lease: { state: 'running out', leftMs: 100 } })).toMatchObject({
      state: 'failed',
      fence: 'network',
    });
  });

  test('hung: no answer to the control plane and to its agent; its agent fences', () => {
    expect(
      judge({
        control: SILENT,
        lease: { state: 'held', pulse: 'silent' },
        fromFollowerHost: 'silent',
        followerLink: { up: true, silentForMs: DOWN_AFTER },
      }),
    ).toMatchObject({ state: 'failed', fence: 'agent' });
  });

  test('host gone: nobody reaches it, and its lease runs out before anybody else may lead', () => {
    const gone = { control: SILENT, fromFollowerHost: 'silent', followerLink: LINK_DOWN } as const;
    expect(judge({ ...gone, lease: { state: 'held', pulse: 'up' } }).state).toBe('doubted');
    expect(judge({ ...gone, lease: { state: 'running out', leftMs: 1 } })).toMatchObject({ fence: 'lease' });
    expect(judge({ ...gone, lease: { state: 'ran out' } })).toMatchObject({ state: 'failed', fence: 'none' });
  });

  test('host gone whose agent was gone before: an engineer has to say that nobody serves there', () => {
    expect(
      judge({ control: SILENT, fromFollowerHost: 'silent', lease: { state: 'nobody' }, followerLink: null }),
    ).toMatchObject({ state: 'failed', fence: 'impossible' });
  });

  test('the link between leader and follower is cut, and both are visible: nobody acts', () => {
    expect(judge({ fromFollowerHost: 'silent', followerLink: LINK_DOWN })).toEqual({
      state: 'doubted',
      why:
        "The follower's replication link to it is down; but it answers as the leader and the agent of its " +
        'host says that it is up.',
    });
  });

  test('the same, and the agent beside the follower still reaches the leader: it is well, and the sentence tells', () => {
    expect(judge({ followerLink: LINK_DOWN })).toEqual({
      state: 'well',
      why: "It answers as the leader; its follower's replication link to it is down.",
    });
  });

  test('an idle leader that refuses our password, and its agent, still has its follower: nobody acts', () => {
    const lockedOut = {
      control: { seen: 'reborn' },
      lease: { state: 'held', pulse: 'silent' },
      fromFollowerHost: 'silent',
      followerLink: { up: true, silentForMs: 9_000 },
    } as const;
    expect(judge(lockedOut)).toMatchObject({ state: 'doubted' });
    expect(judge({ ...lockedOut, followerLink: LINK_DOWN })).toMatchObject({
      state: 'failed',
      fence: 'agent',
    });
  });

  test("the control plane's own network is broken: nobody acts", () => {
    expect(judge({ control: SILENT })).toEqual({
      state: 'doubted',
      why:
        'The control plane gets no answer from it; but the agent of its host says that it is up and ' +
        "the follower's replication link to it is up.",
    });
  });

  test('loading counts as down for writing', () => {
    const verdict = judge({
      control: { seen: 'loading' },
      lease: { state: 'held', pulse: 'loading' },
      fromFollowerHost: 'loading',
      followerLink: LINK_DOWN,
    });
    expect(verdict).toMatchObject({ state: 'failed', fence: 'agent' });
  });

  test('reborn, black-holed: it answers, its agent says "up", and it does not lead', () => {
    expect(
      judge({ control: { seen: 'not leading', loading: false }, followerLink: LINK_DOWN }),
    ).toMatchObject({ state: 'failed', fence: 'none' });
  });

  test('reborn as a leader without its data: it has to be fenced', () => {
    expect(judge({ control: { seen: 'reborn' }, followerLink: LINK_DOWN })).toMatchObject({
      state: 'failed',
      fence: 'agent',
    });
    expect(
      judge({ control: { seen: 'reborn' }, followerLink: LINK_DOWN, lease: { state: 'nobody' } }),
    ).toMatchObject({ fence: 'network' });
  });

  test('demoted in the middle of a switchover that owns the record: left to it', () => {
    const verdict = judge({
      control: { seen: 'not leading', loading: false },
      followerLink: LINK_DOWN,
      atWork: 'switchover/sessions-00',
    });
    expect(verdict.state).toBe('doubted');
    expect(verdict.why).toContain('switchover/sessions-00 is at work there');
  });

  test('its agent is dead while it lives: nobody acts, and the sentence tells', () => {
    expect(judge({ lease: { state: 'nobody' } })).toEqual({
      state: 'well',
      why: 'It answers as the leader; the agent of its host does not hold its lease: were it cut off, nobody could fence it.',
    });
  });
});
