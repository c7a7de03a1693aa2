import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Database } from '../../src/fleet/fleet.js';
import type { LeaderVerdict } from '../../src/fleet/failure.js';
import { endMaintenance, isOver, maintenanceOf } from '../../src/fleet/maintenance.js';
import type { Maintenance } from '../../src/fleet/maintenance.js';
import { decide, fingerprint } from '../../src/fleet/watching.js';
import type { PromotionAttempt, WatchedCase } from '../../src/fleet/watching.js';
import { NOW, recordOf } from './fleetReports.js';
import { fleetOf } from './fleetText.js';

const fleet = fleetOf();
const record = recordOf(fleet, databaseOf('sessions-00'));
const WELL: LeaderVerdict = { state: 'well', why: 'It answers as the leader.' };
const FAILED: LeaderVerdict = { state: 'failed', why: 'Its host refuses the connection.', fence: 'none' };

/** A leader that has failed, and nothing that keeps its follower from being promoted. */
const FREE: WatchedCase = {
  record,
  verdict: FAILED,
  sightings: {
    database: record.database,
    control: { seen: 'refused' },
    lease: { state: 'held', pulse: 'gone' },
    fromFollowerHost: 'gone',
    followerLink: { up: false, silentForMs: 0 },
    downAfterMs: 1_000,
  },
  policy: 'automatic',
  maintenance: null,
  consulProblem: null,
  ownerLives: null,
  attempt: null,
};
const HOST_WORK: Maintenance = {
  scope: 'host',
  name: record.leader.host,
  by: 'ana',
  reason: 'new memory',
  since: new Date(NOW - 60_000).toISOString(),
};

function databaseOf(name: string): Database {
  const found = fleet.databases.find((database) => database.name === name);
  if (found === undefined) throw new Error(`The fleet of the tests has no ${name}.`);
  return found;
}

function whyNot(changes: Partial<WatchedCase>): string {
  const decision = decide({ ...FREE, ...changes });
  if (decision.act !== 'nothing') throw new Error(`It would ${decision.act}.`);
  return decision.why;
}

function refused(againInMs: number | null, verdict = FAILED): PromotionAttempt {
  return {
    state: 'refused',
    workflowId: 'promoteFollower/sessions-00',
    why: 'Its follower was never fully synchronised.',
    fingerprint: fingerprint(record, verdict, FREE.sightings),
    againInMs,
  };
}

describe('what a watch does', () => {
  test('a leader that has failed is promoted away, or an engineer is asked, as the policy says', () => {
    expect(decide(FREE)).toMatchObject({ act: 'promote', ask: false });
    expect(decide({ ...FREE, policy: 'ask' })).toMatchObject({ act: 'promote', ask: true });
  });

  test('nothing is done about a leader that is well, or only in doubt', () => {
    expect(whyNot({ verdict: WELL })).toBe('Its leader is well.');
    expect(whyNot({ verdict: { state: 'doubted', why: 'Somebody misses it.' } })).toContain(
      'not known to have failed',
    );
  });

  test('whatever else is the case: nothing is done while Consul is away, in maintenance, or with the policy off', () => {
    const policy = fc.constantFrom('automatic', 'ask', 'off' as const);
    const fence = fc.constantFrom('none', 'agent', 'network', 'lease', 'impossible' as const);
    fc.assert(
      fc.property(policy, fence, fc.constantFrom(0, 1, 2), (given, needed, obstacle) => {
        const decision = decide({
          ...FREE,
          verdict: { ...FAILED, fence: needed },
          policy: obstacle === 0 ? 'off' : given,
          maintenance: obstacle === 1 ? HOST_WORK : null,
          consulProblem: obstacle === 2 ? 'Consul is away.' : null,
        });
        expect(decision.act).toBe('nothing');
      }),
    );
  });

  test('each sentence has the command that helps', () => {
    expect(whyNot({ policy: 'off' })).toContain('redis-fleet promote sessions-00');
    expect(whyNot({ maintenance: HOST_WORK })).toContain('redis-fleet maintenance off --host redis-01-a');
    expect(whyNot({ consulProblem: 'Consul at x could not read y.' })).toBe(
      'Consul at x could not read y. While it is away nobody is promoted, and nobody is demoted.',
    );
    expect(whyNot({ record: { ...record, follower: null } })).toContain("keep that host's disk");
  });

  test('a promotion that owns the record is left to its work, unless its run is dead', () => {
    const operation = {
      type: 'promoteFollower',
      workflowId: 'promoteFollower/redis-01-a',
      runId: 'r',
      urgency: 'urgent',
      since: HOST_WORK.since,
    } as const;
    const owned = { ...record, operation };
    expect(whyNot({ record: owned })).toContain('promoteFollower/redis-01-a is at work');
    expect(whyNot({ record: owned, ownerLives: true })).toContain('is at work');
    expect(decide({ ...FREE, record: owned, ownerLives: false }).act).toBe('promote');
  });

  test('a runbook that prepares a follower does not hold up a promotion', () => {
    const operation = {
      type: 'bringUpFollower',
      workflowId: 'bringUpFollower/sessions-00',
      runId: 'r',
      urgency: 'planned',
      since: HOST_WORK.since,
    } as const;
    expect(decide({ ...FREE, record: { ...record, operation }, ownerLives: true }).act).toBe('promote');
  });
});

describe('a lease that has to run out', () => {
  const lost: Partial<WatchedCase> = { verdict: { ...FAILED, fence: 'lease' } };
  const left = (leftMs: number): Partial<WatchedCase> => ({
    ...lost,
    sightings: {
      ...FREE.sightings,
      control: { seen: 'silent', forMs: 1_000 },
      lease: { state: 'running out', leftMs },
    },
  });

  test('is waited out by the watch itself, and then taken: the promotion waits no second time', () => {
    expect(whyNot(left(320))).toBe('The lease of redis-01-a runs out in 320 ms; then it is promoted.');
    expect(decide({ ...FREE, ...left(0) })).toMatchObject({ act: 'break lease', host: 'redis-01-a' });
  });

  test('is left alone where an engineer is asked first', () => {
    expect(decide({ ...FREE, ...left(0), policy: 'ask' })).toMatchObject({ act: 'promote', ask: true });
  });
});

describe('the same failure twice', () => {
  test('is not called for again while it is called for', () => {
    const workflowId = 'promoteFollower/sessions-00';
    expect(whyNot({ attempt: { state: 'running', workflowId } })).toContain('is at work');
    expect(whyNot({ attempt: { state: 'starting', workflowId, problem: 'Temporal is away.' } })).toBe(
      'promoteFollower/sessions-00 is started as soon as Temporal takes it: Temporal is away.',
    );
  });

  test('a refusal holds for a while, or until something changes', () => {
    expect(whyNot({ attempt: refused(12_300) })).toContain(
      'is tried again in 13 s, or as soon as something changes',
    );
    expect(decide({ ...FREE, attempt: refused(0) }).act).toBe('promote');
    const another = { ...record, follower: { ...record.leader, host: 'redis-01-c' } };
    expect(decide({ ...FREE, record: another, attempt: refused(12_300) }).act).toBe('promote');
  });

  test('what a person ended is not tried again while nothing changes', () => {
    expect(whyNot({ attempt: refused(null) })).toContain('is not tried again while nothing changes');
  });

  test('what flickers while a host dies is no change', () => {
    const flicker = { ...FREE.sightings, control: { seen: 'silent', forMs: 100 } } as const;
    expect(fingerprint(record, { ...FAILED, fence: 'network' }, flicker)).toBe(
      fingerprint(record, FAILED, FREE.sightings),
    );
  });
});

describe('maintenance', () => {
  test('covers a database by itself, by the host of its leader or follower, and by its fleet', () => {
    const about = (scope: Maintenance['scope'], name: string): Maintenance => ({ ...HOST_WORK, scope, name });
    const covers = (one: Maintenance): boolean => maintenanceOf(record, [one], NOW) !== null;
    expect(covers(about('database', 'sessions-00'))).toBe(true);
    expect(covers(about('database', 'sessions-01'))).toBe(false);
    expect(covers(about('host', 'redis-01-a'))).toBe(true);
    expect(covers(about('host', 'redis-01-b'))).toBe(true);
    expect(covers(about('host', 'redis-02-a'))).toBe(false);
    expect(covers(about('fleet', 'demo'))).toBe(true);
  });

  test('ends by itself', () => {
    const until = (ms: number): Maintenance => ({ ...HOST_WORK, until: new Date(NOW + ms).toISOString() });
    expect(maintenanceOf(record, [until(1)], NOW)).not.toBeNull();
    expect(maintenanceOf(record, [until(0)], NOW)).toBeNull();
    expect(isOver(HOST_WORK, NOW + 1e12)).toBe(false);
  });

  test('of several, the narrowest is named, with the command that ends it', () => {
    const own: Maintenance = { ...HOST_WORK, scope: 'database', name: 'sessions-00' };
    expect(maintenanceOf(record, [HOST_WORK, own], NOW)).toBe(own);
    expect(endMaintenance(own)).toBe('redis-fleet maintenance off --database sessions-00');
    expect(endMaintenance({ scope: 'fleet', name: 'demo' })).toBe('redis-fleet maintenance off --fleet');
  });
});
