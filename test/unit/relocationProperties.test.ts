import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_OPTIONS } from '../../src/fleet/relocation/plan.js';
import type { Goal, Moves, RelocationPlan } from '../../src/fleet/relocation/plan.js';
import { needyHosts, planRelocation, UNPROVEN } from '../../src/fleet/relocation/planner.js';
import type { RelocationState } from '../../src/fleet/relocation/state.js';
import { leastBytes } from './relocationOptimum.js';
import { troubles } from './relocationOracle.js';
import { randomFleet } from './relocationRandom.js';

const HORIZON = 1_800;
/** Seconds. */
const MAY_WAIT = 20;

function movesOf(plan: RelocationPlan): Moves | null {
  if (plan.kind === 'plan') return plan;
  return plan.kind === 'impossible' ? plan.bestEffort : null;
}

function goalOf(state: RelocationState, kind: number): Goal {
  const host = state.hosts[kind % state.hosts.length]?.name ?? '';
  if (kind % 5 === 0) return { kind: 'drain', host };
  if (kind % 5 === 1) return { kind: 'rebalance' };
  return kind % 5 === 2 ? { kind: 'relieve', hosts: [host] } : { kind: 'relieve' };
}

describe('a plan of relocations', () => {
  test.each([
    ['', 0],
    [' where writes may wait for 20 s', MAY_WAIT],
  ])(
    'never has an unsafe moment, in 10,000 random fleets%s, however fast each database really grows',
    (_, pauseWrites) => {
      const seen = { 'safe already': 0, plan: 0, impossible: 0, bestEffort: 0, moves: 0, pauses: 0 };
      fc.assert(
        fc.property(
          randomFleet({ servers: 4, databasesEach: 6 }),
          fc.nat(1_000),
          fc.constantFrom(0, 0.5, 1),
          (state, kind, pace) => {
            const goal = goalOf(state, kind);
            const options = { horizon: HORIZON, pauseWrites };
            const plan = planRelocation(state, goal, options);
            seen[plan.kind] += 1;
            const pauses = movesOf(plan)?.moves.flatMap(({ pauseSeconds }) => pauseSeconds ?? []) ?? [];
            for (const seconds of pauses) expect(seconds).toBeLessThanOrEqual(pauseWrites);
            seen.pauses += pauses.length;
            if (pauses.length === 0 && pauseWrites > 0) {
              // Nothing waits that need not: it is the plan without.
              const without = planRelocation(state, goal, { horizon: HORIZON });
              expect(movesOf(plan)).toEqual(movesOf(without));
            }
            if (plan.kind === 'impossible') expect(plan.why.join(' ')).not.toContain(UNPROVEN);
            const moves = movesOf(plan);
            if (moves === null) return;
            if (plan.kind === 'impossible') seen.bestEffort += 1;
            seen.moves += moves.moves.length;
            const wanted = goal.kind === 'relieve' ? (goal.hosts ?? null) : [];
            const needy =
              plan.kind === 'plan' ? needyHosts(state, wanted, { ...DEFAULT_OPTIONS, ...options }) : [];
            const walk = { needy, until: HORIZON, steps: 12, pace: () => pace };
            expect(troubles(state, moves.moves, walk)).toEqual([]);
          },
        ),
        { numRuns: 10_000, seed: 6, endOnFailure: true },
      );
      // The fleets were in trouble, and plans were made: else this said nothing.
      expect(seen.plan).toBeGreaterThan(1_000);
      expect(seen.impossible).toBeGreaterThan(500);
      expect(seen.bestEffort).toBeGreaterThan(200);
      expect(seen.moves).toBeGreaterThan(3_000);
      if (pauseWrites > 0) expect(seen.pauses).toBeGreaterThan(100);
    },
    120_000,
  );

  test('moves at most 10 % more bytes than the optimum, and says impossible only where nothing is possible', () => {
    const seen = { plans: 0, impossible: 0, missed: 0 };
    fc.assert(
      fc.property(randomFleet({ servers: 3, databasesEach: 4 }), (state) => {
        const options = { ...DEFAULT_OPTIONS, horizon: HORIZON };
        const needy = needyHosts(state, null, options);
        const servers = new Set(
          state.hosts.flatMap(({ name, server }) => (needy.includes(name) ? [server] : [])),
        );
        // More than one server in trouble is more than can be tried out.
        if (servers.size !== 1) return;
        const plan = planRelocation(state, { kind: 'relieve' }, options);
        if (plan.kind === 'plan') {
          seen.plans += 1;
          const below = plan.bytes / 1.1;
          const least = leastBytes(state, { needy, horizon: HORIZON, below }, options);
          if (least !== null) throw new Error(`It moves ${plan.bytes}, and ${least} is enough.`);
          return;
        }
        // To try everything in vain takes long.
        if (seen.impossible >= 150) return;
        seen.impossible += 1;
        const least = leastBytes(state, { needy, horizon: HORIZON, below: Infinity }, options);
        if (least !== null) seen.missed += 1;
      }),
      { numRuns: 3_000, seed: 7, endOnFailure: true },
    );
    expect(seen.plans).toBeGreaterThan(300);
    expect(seen.impossible).toBe(150);
    expect(seen.missed).toBe(0);
  }, 120_000);
});
