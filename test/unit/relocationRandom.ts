/** Random fleets for the planner, with hosts in every kind of trouble. */

import fc from 'fast-check';
import type { DatabaseState, HostState, RelocationState } from '../../src/fleet/relocation/state.js';
import { database, fleetState, GiB, host, MiB } from './relocationStates.js';

export interface FleetShape {
  readonly servers: number;
  readonly databasesEach: number;
}

const size = fc.oneof(
  fc.integer({ min: 1, max: 40 }).map((n) => n * 20 * MiB),
  fc.integer({ min: 1 * MiB, max: 800 * MiB }),
);

const oneDatabase = fc.record({
  used: size,
  fragmented: fc.constantFrom(0, 0, 0.2),
  growth: fc.constantFrom(0, 0, 0, 0, 0, 0.02 * MiB, 0.05 * MiB, 0.2 * MiB, 5 * MiB),
  spread: fc.constantFrom(0, 0.2, 1),
  room: fc.constantFrom(null, 0, 0.1, 0.1, 0.3, 1),
  writes: fc.constantFrom(0, 0, 0.1 * MiB, 0.1 * MiB, MiB, 5 * MiB),
  fork: fc.constantFrom(null, 0.02, 0.02, 0.1, 0.1, 0.3),
  trouble: fc.constantFrom(...Array.from({ length: 14 }, () => null), 'busy' as const, 'alone' as const),
});

const oneServer = (most: number) =>
  fc.record({
    databases: fc.array(oneDatabase, { maxLength: most }),
    /** How much of the memory is taken. */
    fill: fc.constantFrom(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9),
    /** The second host is larger than the first. */
    larger: fc.constantFrom(1, 1, 1, 1.3, 2),
    closed: fc.constantFrom(...Array.from({ length: 9 }, () => null), 'in maintenance'),
    swapped: fc.boolean(),
    zones: fc.constantFrom(
      ['a', 'b'],
      ['a', 'b'],
      ['b', 'c'],
      ['a', 'c'],
      ['a', 'b'],
      ['b', 'c'],
      ['a', 'a'],
    ),
    other: fc.constantFrom(0, 0, 0, 0.02 * MiB),
  });

export function randomFleet({ servers, databasesEach }: FleetShape): fc.Arbitrary<RelocationState> {
  return fc.array(oneServer(databasesEach), { minLength: 2, maxLength: servers }).map((drawn) => {
    const hosts: HostState[] = [];
    const databases: DatabaseState[] = [];
    drawn.forEach((one, index) => {
      const server = `redis-0${String(index + 1)}`;
      const used = one.databases.reduce(
        (sum, { used: bytes, fragmented }) => sum + bytes * (1 + fragmented),
        0,
      );
      const total = Math.max(GiB / 2, used / one.fill);
      ['a', 'b'].forEach((letter, side) => {
        const memory = total * (side === 1 ? one.larger : 1);
        hosts.push(
          host(`${server}-${letter}`, memory - used, {
            zone: `az-${one.zones[side] ?? ''}`,
            memory: { total: memory, available: memory - used, limitedBy: 'machine' },
            closed: side === 0 ? one.closed : null,
            otherGrowth: { low: 0, expected: one.other / 2, high: one.other },
            cores: 4,
          }),
        );
      });
      one.databases.forEach((drawnDatabase, n) => {
        databases.push(
          asState(drawnDatabase, `db-${String(index + 1)}-${String(n)}`, server, 6_300 + n, one.swapped),
        );
      });
    });
    return fleetState(hosts, databases);
  });
}

type Drawn = typeof oneDatabase extends fc.Arbitrary<infer T> ? T : never;

function asState(drawn: Drawn, name: string, server: string, port: number, swapped: boolean): DatabaseState {
  const { used, fragmented, growth, spread, room, writes, fork, trouble } = drawn;
  const state = database(name, server, port, used, {
    residentMemory: used * (1 + fragmented),
    growth: { low: growth * (1 - spread), expected: growth, high: growth * (1 + spread) },
    maxmemory: room === null ? 0 : used * (1 + room),
    writeRate: Math.max(growth, writes),
    forks:
      fork === null
        ? []
        : [
            {
              database: name,
              port,
              at: 0,
              seconds: 3,
              copyOnWrite: used * fork,
              usedMemory: used,
              writeRate: Math.max(growth, writes),
            },
          ],
    busy: trouble === 'busy' ? 'owned by a test' : null,
  });
  const { leader, follower } = state;
  if (trouble === 'alone') return { ...state, follower: null };
  return swapped && follower !== null ? { ...state, leader: follower, follower: leader } : state;
}
