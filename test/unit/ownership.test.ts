import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dependsOnOwnerState, mayClaim, mayTakePermit } from '../../src/fleet/ownership.js';
import type { OwnerState } from '../../src/fleet/ownership.js';
import type { Operation, Urgency } from '../../src/fleet/record.js';

const URGENCIES: readonly Urgency[] = ['routine', 'planned', 'urgent'];

function run(workflowId: string, urgency: Urgency, runId = `${workflowId}-1`): Operation {
  return { type: 'bringUpFollower', workflowId, runId, urgency, since: '2026-01-31T12:00:00.000Z' };
}

const state = fc.constantFrom<OwnerState>('running', 'closed', 'gone');
const urgency = fc.constantFrom(...URGENCIES);

describe('who may take a database from whom', () => {
  test('a database that nobody owns is free', () => {
    expect(mayClaim('database a', undefined, run('me', 'routine'), 'running')).toEqual({
      may: true,
      how: 'free',
    });
  });

  test('a run keeps its own, whatever Temporal says of it and however urgent it calls itself', () => {
    fc.assert(
      fc.property(urgency, urgency, state, (before, now, owner) => {
        expect(mayClaim('database a', run('me', before), run('me', now), owner)).toEqual({
          may: true,
          how: 'own',
        });
      }),
    );
  });

  test('a later run of the same workflow id is another owner', () => {
    const owner = run('bringUpFollower/a', 'planned', 'run-1');
    const again = run('bringUpFollower/a', 'planned', 'run-2');
    expect(mayClaim('database a', owner, again, 'running').may).toBe(false);
    expect(mayClaim('database a', owner, again, 'closed')).toEqual({ may: true, how: 'takeover' });
  });

  test('a promotion takes a database from a living bring-up, and never the other way round', () => {
    const promotion = run('promoteFollower/a', 'urgent');
    const bringUp = run('bringUpFollower/a', 'planned');
    expect(mayClaim('database a', bringUp, promotion, 'running')).toEqual({ may: true, how: 'preemption' });
    expect(mayClaim('database a', promotion, bringUp, 'running').may).toBe(false);
  });

  test('the refusal names the owner, its type, since when, and the command that shows it', () => {
    const verdict = mayClaim(
      'database sessions-03',
      run('bringUpFollower/sessions-03', 'planned'),
      run('x', 'planned'),
      'running',
    );
    expect(verdict).toEqual({
      may: false,
      why:
        'Database sessions-03 belongs to bringUpFollower/sessions-03 (bringUpFollower, planned, since 2026-01-31T12:00:00.000Z), ' +
        'which still runs. Wait for it, or end it: `redis-fleet runbook show bringUpFollower/sessions-03`.',
    });
  });

  test('of two living runs, never may each take the database from the other', () => {
    fc.assert(
      fc.property(urgency, urgency, (a, b) => {
        const first = run('first', a);
        const second = run('second', b);
        const both =
          mayClaim('database a', first, second, 'running').may &&
          mayClaim('database a', second, first, 'running').may;
        expect(both).toBe(false);
      }),
    );
  });

  test('when the answer is said not to depend on the owner, it does not', () => {
    fc.assert(
      fc.property(
        fc.option(urgency, { nil: undefined }),
        urgency,
        state,
        state,
        (owner, claimant, one, other) => {
          const owning = owner && run('owner', owner);
          const claiming = run('claimant', claimant);
          if (dependsOnOwnerState(owning, claiming)) return;
          expect(mayClaim('database a', owning, claiming, one)).toEqual(
            mayClaim('database a', owning, claiming, other),
          );
        },
      ),
    );
  });
});

describe('who may take a fork permit from whom', () => {
  test('a running fork is not preempted by anything, and a dead holder loses it to anybody', () => {
    fc.assert(
      fc.property(urgency, urgency, (holder, claimant) => {
        expect(mayTakePermit('h', run('holder', holder), run('claimant', claimant), 'running').may).toBe(
          false,
        );
        for (const dead of ['closed', 'gone'] as const) {
          const verdict = mayTakePermit('h', run('holder', holder), run('claimant', claimant), dead);
          expect(verdict).toEqual({ may: true, how: 'takeover' });
        }
      }),
    );
  });

  test('a free permit is given, and the holder has it again', () => {
    expect(mayTakePermit('h', undefined, run('me', 'planned'), 'running')).toEqual({
      may: true,
      how: 'free',
    });
    expect(mayTakePermit('h', run('me', 'planned'), run('me', 'planned'), 'running')).toEqual({
      may: true,
      how: 'own',
    });
  });
});
