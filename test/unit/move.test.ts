import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import { DEFAULT_BACKUPS, DEFAULT_RELOCATION, DEFAULT_DETECTION, type Fleet } from '../../src/fleet/fleet.js';
import { backlogForMove, planMove, roomProblem, sourceProblem, type MovePlan } from '../../src/fleet/move.js';
import type { Maintenance } from '../../src/fleet/maintenance.js';
import { sameEndpoint, type DatabaseRecord, type Endpoint } from '../../src/fleet/record.js';
import { recordMove } from '../../src/fleet/recordMove.js';
import type { MoveDatabaseRequest } from '../../src/fleet/requests.js';
import { MiB, processFacts } from './facts.js';

const NOW = Date.parse('2026-01-31T12:00:00Z');

function host(server: number, side: 'a' | 'b'): Fleet['servers'][number]['hosts'][0] {
  const address = `127.0.${server}.${side === 'a' ? 1 : 2}`;
  return { name: `redis-0${server}-${side}`, zone: `az-${side}`, address, memory: 4096 * MiB };
}

const fleet: Fleet = {
  name: 'demo',
  servers: [1, 2, 3].map((n) => ({ name: `redis-0${n}`, hosts: [host(n, 'a'), host(n, 'b')] })),
  databases: [1, 2, 3].map((n) => ({
    name: `sessions-0${n}`,
    server: `redis-0${n}`,
    port: n === 3 ? 6301 : 6300 + n,
    maxmemory: 256 * MiB,
  })),
  detection: DEFAULT_DETECTION,
  leases: { ttl: 5_000 },
  backups: DEFAULT_BACKUPS,
  relocation: DEFAULT_RELOCATION,
};

function at(server: number, side: 'a' | 'b', port: number): Endpoint {
  const { name, address } = host(server, side);
  return { host: name, address, port };
}

function recordOf(n: number, changes: Partial<DatabaseRecord> = {}): DatabaseRecord {
  const port = n === 3 ? 6301 : 6300 + n;
  return {
    database: `sessions-0${n}`,
    server: `redis-0${n}`,
    epoch: 4,
    leader: at(n, 'a', port),
    follower: at(n, 'b', port),
    updatedAt: '2026-01-31T12:00:00.000Z',
    updatedBy: 'provisionServer',
    ...changes,
  };
}

const records = [recordOf(1), recordOf(2), recordOf(3)];

function plan(
  request: Partial<MoveDatabaseRequest>,
  of = records,
  closed: readonly Maintenance[] = [],
): MovePlan {
  const whole = { database: 'sessions-01', to: { server: 'redis-02' }, ...request };
  return planMove(fleet, of, closed, whole, NOW);
}

function refusal(
  request: Partial<MoveDatabaseRequest>,
  of = records,
  closed: readonly Maintenance[] = [],
): string {
  try {
    plan(request, of, closed);
  } catch (error) {
    if (error instanceof FleetError) return error.message;
    throw error;
  }
  throw new Error('It was planned.');
}

describe('a plan of a move', () => {
  test('to a server has a new pair there, and the old one leaves', () => {
    expect(plan({})).toMatchObject({
      server: 'redis-02',
      leader: at(2, 'a', 6301),
      follower: at(2, 'b', 6301),
      newcomers: [at(2, 'a', 6301), at(2, 'b', 6301)],
      leaving: [at(1, 'a', 6301), at(1, 'b', 6301)],
      staying: [],
    });
    expect(plan({ to: { server: 'redis-02', leader: 'redis-02-b' } })).toMatchObject({
      leader: { host: 'redis-02-b' },
      follower: { host: 'redis-02-a' },
    });
  });

  test('takes another port where the old one is somebody else’s there, and the one that was asked for', () => {
    expect(plan({ to: { server: 'redis-03' } }).leader.port).toBe(6302);
    expect(plan({ port: 7000 }).follower.port).toBe(7000);
  });

  test('to hosts that have it partly starts only what is not there', () => {
    const kept = plan({ to: { leader: 'redis-02-a', follower: 'redis-01-b' } });
    expect(kept).toMatchObject({
      newcomers: [at(2, 'a', 6301)],
      leaving: [at(1, 'a', 6301)],
      follower: at(1, 'b', 6301),
    });
    const further = [
      recordOf(1, { extraFollowers: [at(2, 'b', 6301), at(3, 'b', 6309)] }),
      ...records.slice(1),
    ];
    expect(plan({}, further)).toMatchObject({ newcomers: [at(2, 'a', 6301)], staying: [at(3, 'b', 6309)] });
  });

  test('is refused with what to do instead', () => {
    expect(refusal({ to: { leader: 'redis-01-a', follower: 'redis-02-b' } })).toContain(
      'redis-fleet bring-up sessions-01 --host redis-02-b',
    );
    expect(refusal({ to: { server: 'redis-01', leader: 'redis-01-b' } })).toContain(
      'redis-fleet switchover sessions-01',
    );
    expect(refusal({ to: { server: 'redis-01' } })).toContain('It is there already.');
    expect(refusal({ to: { leader: 'redis-02-a', follower: 'redis-03-a' } })).toContain(
      'a failure of that zone',
    );
    expect(refusal({ to: { server: 'redis-09' } })).toContain('Name one of redis-01, redis-02, redis-03.');
    expect(refusal({ to: { server: 'redis-02', leader: 'redis-03-a' } })).toContain(
      'does not belong to server redis-02',
    );
    expect(refusal({ database: 'sessions-09' })).toContain('is not in the applied fleet file');
    expect(refusal({ expectedLeader: 'redis-01-b' })).toContain('and not by redis-01-b as was expected');
    expect(refusal({}, [recordOf(1, { follower: null })])).toContain(
      'Bring one up first: redis-fleet bring-up sessions-01',
    );
    expect(refusal({}, [recordOf(1, { epoch: 0 })])).toContain('has no leader yet');
  });

  test('leaves hosts in maintenance alone, until it is over', () => {
    const closed = { scope: 'host', name: 'redis-02-b', by: 'ann', reason: 'disks', since: 'now' } as const;
    expect(refusal({}, records, [closed])).toContain('redis-fleet maintenance off --host redis-02-b');
    expect(plan({}, records, [{ ...closed, until: '2026-01-31T11:59:00Z' }]).server).toBe('redis-02');
  });

  test('always has a pair in two zones, on ports that nobody has, and whoever leaves is not in it', () => {
    const hostName = fc.constantFrom(...fleet.servers.flatMap(({ hosts }) => hosts.map(({ name }) => name)));
    const to = fc.oneof(
      fc.record({ server: fc.constantFrom('redis-01', 'redis-02', 'redis-03') }),
      fc.record({ leader: hostName, follower: hostName }),
    );
    fc.assert(
      fc.property(fc.constantFrom('sessions-01', 'sessions-02', 'sessions-03'), to, (database, target) => {
        let made: MovePlan;
        try {
          made = plan({ database, to: target });
        } catch (error) {
          expect(error).toBeInstanceOf(FleetError);
          return;
        }
        const { leader, follower, newcomers, leaving } = made;
        expect(leader.host.at(-1)).not.toBe(follower.host.at(-1));
        for (const one of leaving)
          expect([leader, follower].some((other) => sameEndpoint(one, other))).toBe(false);
        const others = records.filter((record) => record.database !== database);
        for (const { address, port } of newcomers) {
          const taken = others.flatMap((record) => [record.leader, record.follower]);
          expect(taken.some((one) => one?.address === address && one.port === port)).toBe(false);
        }
      }),
    );
  });
});

describe('before a move', () => {
  const made = plan({});
  const [leaderAt, followerAt] = [made.record.leader, made.record.follower];
  const replica = {
    address: followerAt.address,
    port: followerAt.port,
    state: 'online',
    offset: 10 * MiB,
    lag: 0,
  };
  const leader = processFacts({ replicas: [replica], maxmemory: 256 * MiB });
  const link = {
    address: leaderAt.address,
    port: leaderAt.port,
    up: true,
    synchronising: false,
    offset: 10 * MiB,
  };
  const follower = processFacts({ role: 'follower', link, maxmemory: 256 * MiB });

  test('the follower must have what its leader has, and the new leader may take as much', () => {
    expect(sourceProblem(made, leader, follower)).toBeNull();
    expect(sourceProblem(made, leader, { ...follower, link: { ...link, up: false } })).toContain(
      'redis-fleet bring-up',
    );
    expect(sourceProblem(made, { ...leader, replicas: [] }, follower)).toContain("the leader's own eyes");
    const behind = {
      ...follower,
      position: { ...follower.position, offset: follower.position.offset - 17 * MiB },
    };
    expect(sourceProblem(made, leader, behind)).toContain('bytes behind its leader');
    expect(sourceProblem(made, { ...leader, role: 'follower' }, follower)).toContain('redis-fleet check');
    expect(sourceProblem(made, { ...leader, maxmemory: 512 * MiB }, follower)).toContain(
      'would refuse writes',
    );
  });

  test('a target has room for the copy, and where backups are taken for a fork of it', () => {
    const facts = { ...leader, usedMemory: 100 * MiB };
    const memory = (available: number) => ({ total: 1000 * MiB, available: available * MiB });
    const problem = (available: number, forkShare: number): string | null =>
      roomProblem(made.record, made.leader, memory(available), facts, forkShare);
    expect(problem(161, 0)).toBeNull();
    expect(problem(159, 0)).toContain('short of that');
    expect(problem(261, 1)).toBeNull();
    expect(problem(259, 1)).toContain('a fork of it for a backup does not');
    expect(problem(181, 0.2)).toBeNull();
    expect(problem(179, 0.2)).toContain('a fork of it for a backup does not');
  });

  test('the backlog covers the moment in which the new processes change over, or there is no move', () => {
    const memory = { total: 1000 * MiB, available: 100 * MiB };
    const facts = { ...leader, backlog: { ...leader.backlog, size: 16 * MiB } };
    const sees = (rate: number) => backlogForMove({ endpoint: leaderAt, facts, memory }, follower, rate);
    expect(sees(0)).toEqual({ fits: true, bytes: 16 * MiB });
    expect(sees(2 * MiB)).toEqual({ fits: true, bytes: 41 * MiB });
    expect(sees(20 * MiB)).toMatchObject({ fits: false });
  });
});

describe('the record of a move', () => {
  const operation = {
    type: 'moveDatabase',
    workflowId: 'moveDatabase/sessions-01',
    runId: 'r',
    urgency: 'planned',
    since: '2026-01-31T12:00:00.000Z',
  } as const;
  const author = { operation, at: '2026-01-31T12:30:00.000Z' };
  const before = recordOf(1, {
    operation,
    leader: at(2, 'a', 6301),
    follower: at(1, 'a', 6301),
    extraFollowers: [at(1, 'b', 6301), at(2, 'b', 6301)],
  });
  const wanted = { epoch: 4, server: 'redis-02', follower: at(2, 'b', 6301), extraFollowers: [] };

  test('names the new pair and its server, once and again', () => {
    const change = recordMove(before, wanted, author);
    if ('refused' in change) throw new Error(change.why);
    expect(change.record).toMatchObject({ server: 'redis-02', follower: at(2, 'b', 6301), epoch: 4 });
    expect(change.record).not.toHaveProperty('extraFollowers');
    expect(recordMove(change.record, wanted, author)).toEqual({ record: change.record, changed: false });
  });

  test('is refused to whoever does not own it, and after another change of leader', () => {
    const other = { ...author, operation: { ...operation, runId: 'other' } };
    expect(recordMove(before, wanted, other)).toMatchObject({ refused: 'OwnershipLost' });
    expect(recordMove({ ...before, epoch: 5 }, wanted, author)).toMatchObject({ refused: 'RecordChanged' });
    const onLeader = { ...wanted, follower: at(2, 'a', 6309) };
    expect(recordMove(before, onLeader, author)).toMatchObject({ refused: 'InvalidRequest' });
  });
});
