import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import {
  actualPlacement,
  filePlacement,
  forkWarnings,
  hostsOf,
  placementProblems,
  placementProblemText,
  zoneProblem,
} from '../../src/fleet/placement.js';
import type { PlacedProcess } from '../../src/fleet/placement.js';
import { fleetOf } from './fleetText.js';

const fleet = fleetOf();
const MiB = 1024 ** 2;

function at(database: string, host: string, port: number, maxmemory = 256 * MiB): PlacedProcess {
  const address = hostsOf(fleet).find(({ name }) => name === host)?.address ?? '';
  return { database, host, address, port, maxmemory };
}

function moved(database: string, host: string, port: number): DatabaseRecord {
  return {
    database,
    server: 'redis-01',
    epoch: 3,
    leader: at(database, host, port),
    follower: null,
    updatedAt: '2026-01-01T00:00:00Z',
    updatedBy: 'moveDatabase/x',
  };
}

describe('placement', () => {
  test('the file puts each database on both hosts of its server', () => {
    expect(filePlacement(fleet)).toHaveLength(6);
    expect(filePlacement(fleet)[0]).toEqual(at('sessions-00', 'redis-01-a', 6300));
    expect(placementProblems(hostsOf(fleet), filePlacement(fleet))).toEqual([]);
  });

  test('the record counts for a database that has one', () => {
    const placed = actualPlacement(fleet, [moved('sessions-00', 'redis-02-a', 6300)]);
    expect(placed.filter(({ database }) => database === 'sessions-00')).toMatchObject([
      { host: 'redis-02-a', port: 6300, maxmemory: 256 * MiB },
    ]);
    expect(placed).toHaveLength(5);
  });

  test('two processes cannot have one address and port', () => {
    const [problem] = placementProblems(hostsOf(fleet), [
      at('a', 'redis-01-a', 6300),
      at('b', 'redis-01-a', 6300),
    ]);
    expect(problem && placementProblemText(problem)).toBe(
      '127.0.1.1:6300 is taken by database a on host redis-01-a',
    );
  });

  test('a host takes databases up to its memory, and not a byte more', () => {
    const fits = [at('a', 'redis-01-a', 1, 1000 * MiB), at('b', 'redis-01-a', 2, 24 * MiB)];
    expect(placementProblems(hostsOf(fleet), fits)).toEqual([]);
    const [problem] = placementProblems(hostsOf(fleet), [...fits, at('c', 'redis-01-a', 3, 1)]);
    expect(problem?.kind).toBe('host full');
  });

  test('a host that is full to the brim gets a warning about forks, one with room gets none', () => {
    expect(forkWarnings(hostsOf(fleet), filePlacement(fleet))).toEqual([]);
    const [warning, ...others] = forkWarnings(hostsOf(fleet), [
      at('a', 'redis-01-a', 1, 600 * MiB),
      at('b', 'redis-01-a', 2, 200 * MiB),
    ]);
    expect(warning).toContain(
      'Host redis-01-a (1 GiB) has room for its 2 databases (800 MiB), but not for a fork of a',
    );
    expect(others).toEqual([]);
  });

  test('a pair in one zone is refused, a pair in two is not', () => {
    const [a, b] = hostsOf(fleet);
    if (a === undefined || b === undefined) throw new Error('The fleet has no hosts.');
    expect(zoneProblem(a, b)).toBeNull();
    expect(zoneProblem(a, { ...b, zone: a.zone })).toContain('a failure of that zone would take both');
  });

  test('what is accepted never overfills a host, and never shares a port', () => {
    const some = fc.record({
      database: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      host: fc.constantFrom(...hostsOf(fleet).map(({ name }) => name)),
      port: fc.integer({ min: 1, max: 3 }),
      maxmemory: fc.integer({ min: 0, max: 700 * MiB }),
    });
    fc.assert(
      fc.property(fc.array(some, { maxLength: 8 }), (written) => {
        const placed = written.map((one) => at(one.database, one.host, one.port, one.maxmemory));
        const accepted = placementProblems(hostsOf(fleet), placed).length === 0;
        const endpoints = new Set(placed.map(({ address, port }) => `${address}:${port}`));
        const fits = hostsOf(fleet).every(
          ({ name, memory }) =>
            placed.filter(({ host }) => host === name).reduce((sum, one) => sum + one.maxmemory, 0) <= memory,
        );
        expect(accepted).toBe(fits && endpoints.size === placed.length);
      }),
    );
  });
});
