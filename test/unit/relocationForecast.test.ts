import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { copyOnWriteShare } from '../../src/fleet/headroom.js';
import { forecastFleet, forecastHost } from '../../src/fleet/relocation/forecast.js';
import { growthOf } from '../../src/fleet/relocation/growth.js';
import type { Point } from '../../src/fleet/relocation/growth.js';
import { availableAt, marginAt, outlooks, usedAt } from '../../src/fleet/relocation/outlook.js';
import type { ForkSample, RelocationState } from '../../src/fleet/relocation/state.js';
import { database, fleetState, GiB, host, MiB, steady } from './relocationStates.js';

function line(rate: number, count = 12, everyMs = 5_000, from = 0): Point[] {
  return Array.from({ length: count }, (_, n) => ({
    at: n * everyMs,
    value: from + (rate * n * everyMs) / 1_000,
  }));
}

describe('growth', () => {
  test('a straight line grows at its slope, and is nearly certain', () => {
    const growth = growthOf([line(5 * MiB)]);
    expect(growth?.expected).toBeCloseTo(5 * MiB, 0);
    expect(growth?.low).toBeGreaterThan(4.5 * MiB);
    expect(growth?.high).toBeLessThan(5.5 * MiB);
  });

  test('two points say nothing; three say it with a wide spread', () => {
    expect(growthOf([line(MiB, 2)])).toBeNull();
    expect(growthOf([])).toBeNull();
    const three = growthOf([line(MiB, 3)]);
    expect(three?.high).toBeCloseTo((4 / 3) * MiB, 0);
    expect(three?.low).toBeCloseTo((2 / 3) * MiB, 0);
  });

  test('one wild sample changes nothing', () => {
    const points = line(MiB).map((point, n) => (n === 5 ? { ...point, value: 900 * MiB } : point));
    expect(growthOf([points])?.expected).toBeCloseTo(MiB, -4);
  });

  test('what a restart lost is no growth, and what it loads again is none before that', () => {
    const before = line(MiB, 6, 5_000, 500 * MiB);
    const after = line(MiB, 6).map(({ at, value }) => ({ at: at + 60_000, value }));
    const growth = growthOf([before, after]);
    expect(growth?.expected).toBeCloseTo(MiB, 0);
    expect(growth?.low).toBeGreaterThan(0.8 * MiB);
  });

  test('growth that began a minute ago is what is expected now, and the quiet day before is in the spread', () => {
    const day = line(0, 40, 1_800_000);
    const emergency = line(5 * MiB, 9).map(({ at, value }) => ({ at: at + 40 * 1_800_000, value }));
    const growth = growthOf([[...day, ...emergency]]);
    expect(growth?.expected).toBeGreaterThan(4 * MiB);
    expect(growth?.low).toBeLessThan(0.1 * MiB);
  });

  describe('a load', () => {
    const load = line(20 * MiB, 5);
    const since = (count: number): Point[] =>
      line(MiB, count, 5_000, 80 * MiB).map(({ at, value }) => ({ at: at + 20_000, value }));

    test('that has ended is no growth any more', () => {
      const growth = growthOf([[...load, ...since(6).slice(1)]]);
      expect(growth?.expected).toBeCloseTo(MiB, 0);
      expect(growth?.high).toBeLessThan(1.5 * MiB);
    });

    test('of which nobody can tell yet whether it has ended is growth', () => {
      expect(growthOf([[...load, ...since(2).slice(1)]])?.high).toBeGreaterThan(10 * MiB);
    });

    test('that comes again and again is growth over the hours', () => {
      const points = Array.from({ length: 60 }, (_, n) => ({
        at: n * 60_000,
        value: Math.floor(n / 10) * 600 * MiB,
      }));
      const growth = growthOf([points]);
      expect(growth?.expected).toBe(0);
      expect(growth?.high).toBeGreaterThan(0.9 * MiB);
    });
  });

  test('the spread holds what is expected, whatever the samples are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 0, max: 1e9 })), {
          maxLength: 80,
        }),
        (pairs) => {
          const points = pairs.map(([at, value]) => ({ at, value })).sort((a, b) => a.at - b.at);
          const growth = growthOf([points]);
          if (growth === null) return;
          expect(growth.low).toBeLessThanOrEqual(growth.expected);
          expect(growth.high).toBeGreaterThanOrEqual(growth.expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('noise does not become growth, and the true rate lies within the spread', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10 * MiB }),
        fc.array(fc.integer({ min: -4 * MiB, max: 4 * MiB }), { minLength: 12, maxLength: 12 }),
        (rate, noise) => {
          const points = line(rate).map(({ at, value }, n) => ({ at, value: value + (noise[n] ?? 0) }));
          const growth = growthOf([points]);
          // 8 MiB of noise over a minute of samples.
          expect(Math.abs((growth?.expected ?? Infinity) - rate)).toBeLessThan(0.5 * MiB);
          expect(growth?.low).toBeLessThan(rate + 0.2 * MiB);
          expect(growth?.high).toBeGreaterThan(rate - 0.2 * MiB);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('copy-on-write', () => {
  const fork: ForkSample = {
    database: 'a',
    port: 6300,
    at: 0,
    seconds: 2,
    copyOnWrite: 20 * MiB,
    usedMemory: 200 * MiB,
    writeRate: MiB,
  };

  test('nobody saw a fork: all is copied', () => {
    expect(copyOnWriteShare({ writeRate: 0, forks: [] })).toBe(1);
  });

  test('as before, with caution', () => {
    expect(copyOnWriteShare({ writeRate: MiB, forks: [fork] })).toBeCloseTo(0.15);
  });

  test('twice the writes, twice the pages; all of them at most', () => {
    expect(copyOnWriteShare({ writeRate: 2 * MiB, forks: [fork] })).toBeCloseTo(0.3);
    expect(copyOnWriteShare({ writeRate: 500 * MiB, forks: [fork] })).toBe(1);
  });

  test('quieter now is not relied on, and there is a floor', () => {
    expect(copyOnWriteShare({ writeRate: 0, forks: [fork] })).toBeCloseTo(0.15);
    expect(copyOnWriteShare({ writeRate: 0, forks: [{ ...fork, copyOnWrite: 0 }] })).toBe(0.05);
  });

  test('a fork in a quiet minute says little of a busy one', () => {
    const idle = { ...fork, copyOnWrite: MiB / 2, writeRate: 0 };
    expect(copyOnWriteShare({ writeRate: 20 * MiB, forks: [idle] })).toBe(1);
  });

  test('the worst of the last forks counts', () => {
    const worse = { ...fork, copyOnWrite: 100 * MiB };
    expect(copyOnWriteShare({ writeRate: MiB, forks: [fork, worse, fork] })).toBeCloseTo(0.75);
  });
});

describe('forecast', () => {
  test('nothing grows: never', () => {
    const [forecast] = forecastFleet(
      fleetState([host('redis-01-a', 2 * GiB)], [database('a', 'redis-01', 6300, 200 * MiB)]),
    );
    expect(forecast?.forkEnds).toEqual({ low: null, expected: null, high: null });
    expect(forecast?.memoryEnds).toEqual({ low: null, expected: null, high: null });
    expect(forecast?.forks[0]).toMatchObject({ database: 'a', needs: 200 * MiB });
  });

  test('a fork of the largest does not fit already', () => {
    const [forecast] = forecastFleet(
      fleetState([host('redis-01-a', 300 * MiB)], [database('a', 'redis-01', 6300, 200 * MiB)]),
    );
    expect(forecast?.forkEnds.low).toBe(0);
    expect(forecast?.forks[0]?.left).toBeCloseTo(300 * MiB - 0.05 * 4 * GiB - 200 * MiB);
  });

  test('5 MiB a second into 1,000 MiB: 200 seconds until memory ends, and sooner for a fork, which grows as well', () => {
    const state = fleetState(
      [host('redis-01-a', 1_000 * MiB)],
      [database('a', 'redis-01', 6300, 100 * MiB, { growth: steady(5 * MiB) })],
    );
    const [forecast] = forecastFleet(state);
    expect(forecast?.memoryEnds.expected).toBeCloseTo(200);
    // 1000 − 5t − 204.8 = 100 + 5t
    expect(forecast?.forkEnds.expected).toBeCloseTo(69.52);
  });

  test('growth ends at maxmemory, so that memory need not end', () => {
    const [forecast] = forecastFleet(
      fleetState(
        [host('redis-01-a', 1_000 * MiB)],
        [
          database('a', 'redis-01', 6300, 100 * MiB, { growth: steady(5 * MiB), maxmemory: 900 * MiB }),
          database('b', 'redis-01', 6301, 100 * MiB),
        ],
      ),
    );
    expect(forecast?.memoryEnds.low).toBeNull();
    expect(forecast?.forkEnds.low).toBeCloseTo(69.52);
  });

  test('a wide spread of growth is a wide spread of time', () => {
    const [forecast] = forecastFleet(
      fleetState(
        [host('redis-01-a', 1_000 * MiB)],
        [database('a', 'redis-01', 6300, 0, { growth: { low: -MiB, expected: MiB, high: 4 * MiB } })],
      ),
    );
    expect(forecast?.memoryEnds).toEqual({ low: 250, expected: 1_000, high: null });
  });

  test('the moment is exact: safe just before it, unsafe just after', () => {
    fc.assert(
      fc.property(randomHost, (state) => {
        const outlook = outlooks(state).get('redis-01-a');
        if (outlook === undefined) throw new Error('the host is gone');
        const { forkEnds, memoryEnds } = forecastHost(outlook);
        const exact = (at: number | null, left: (seconds: number) => number): void => {
          const tiny = 1;
          if (at === null) {
            expect(left(364 * 86_400)).toBeGreaterThanOrEqual(-tiny);
            return;
          }
          if (at > 0) expect(left(at * 0.999)).toBeGreaterThanOrEqual(-tiny);
          expect(left(at + Math.max(1, at * 0.001))).toBeLessThanOrEqual(tiny);
        };
        exact(forkEnds.low, (seconds) => marginAt(outlook, seconds, 'high'));
        exact(forkEnds.expected, (seconds) => marginAt(outlook, seconds, 'expected'));
        exact(memoryEnds.low, (seconds) => availableAt(outlook, seconds, 'high'));
        exact(memoryEnds.high, (seconds) => availableAt(outlook, seconds, 'low'));
      }),
      { numRuns: 1_000 },
    );
  });

  test('a margin never grows again, so that its end says all about the time before', () => {
    fc.assert(
      fc.property(randomHost, fc.nat(1e5), fc.nat(1e5), (state, a, b) => {
        const outlook = outlooks(state).get('redis-01-a');
        if (outlook === undefined) throw new Error('the host is gone');
        const [early, late] = [Math.min(a, b), Math.max(a, b)];
        expect(marginAt(outlook, late, 'high')).toBeLessThanOrEqual(marginAt(outlook, early, 'high') + 1);
      }),
      { numRuns: 1_000 },
    );
  });

  test('a database never holds more than its maxmemory by growth', () => {
    const one = database('a', 'redis-01', 6300, 100 * MiB, { growth: steady(MiB), maxmemory: 150 * MiB });
    expect(usedAt(one, 10, 'high')).toBe(110 * MiB);
    expect(usedAt(one, 1e9, 'high')).toBe(150 * MiB);
    expect(usedAt({ ...one, usedMemory: 160 * MiB }, 1e9, 'high')).toBe(160 * MiB);
  });
});

const randomHost: fc.Arbitrary<RelocationState> = fc
  .record({
    available: fc.integer({ min: 0, max: 4 * GiB }),
    other: fc.constantFrom(0, 0, 1_000, MiB),
    databases: fc.array(
      fc.record({
        used: fc.integer({ min: 0, max: 500 * MiB }),
        room: fc.constantFrom(null, 0, 10 * MiB, 400 * MiB),
        rate: fc.integer({ min: -MiB, max: 2 * MiB }),
        fork: fc.constantFrom(0.05, 0.5, 1),
      }),
      { maxLength: 8 },
    ),
  })
  .map(({ available, other, databases }) =>
    fleetState(
      [host('redis-01-a', available, { otherGrowth: steady(other) })],
      databases.map(({ used, room, rate, fork }, n) =>
        database(`db-${String(n)}`, 'redis-01', 6300 + n, used, {
          growth: { low: Math.min(0, rate), expected: rate, high: rate + MiB / 2 },
          maxmemory: room === null ? 0 : used + room,
          forks: [
            {
              database: `db-${String(n)}`,
              port: 6300 + n,
              at: 0,
              seconds: 1,
              copyOnWrite: (fork * MiB) / 1.5,
              usedMemory: MiB,
              writeRate: 0,
            },
          ],
        }),
      ),
    ),
  );
