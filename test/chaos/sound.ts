/** What must hold after every procedure, killed or not. */

import { expect } from 'vitest';
import { configuredBacklog } from '../../src/fleet/backlog.js';
import { GATE_A_SHUT } from '../../src/fleet/gates.js';
import type { Outcome } from './procedure.js';

const MAXMEMORY_MIB = 64;
export const MAXMEMORY = `${MAXMEMORY_MIB}MiB`;

/**
 * `running`: forks during the procedure, by part; parts that are not named must not run.
 * @param leads the part that leads afterwards
 */
export function expectSound(
  { end }: Pick<Outcome, 'end'>,
  running: Readonly<Record<string, number>>,
  { backlogBytes = configuredBacklog(MAXMEMORY_MIB * 1024 * 1024), leads = 'leader' } = {},
): void {
  expect(end.permits).toEqual([]);
  expect(end.record?.isOwned).toBe(false);
  const forks: Record<string, number> = {};
  for (const [part, { processes, running: seen }] of Object.entries(end.parts)) {
    if (seen === null) continue;
    forks[part] = seen.forks;
    expect(processes).toBe(1);
    expect(seen).toMatchObject({
      gates: GATE_A_SHUT,
      backlogBytes,
      hasLeadersOffset: true,
      lost: 0,
      role: part === leads ? 'leader' : 'follower',
      follows: part === leads ? null : leads,
      linkUp: part !== leads,
    });
    expect(seen.replicationUser.split(' ')).toContain('on');
  }
  expect(forks).toEqual(running);
}

export function expectDone({ ended, steps }: Outcome): void {
  expect(ended).toBe('well');
  expect(steps.filter((step) => !step.endsWith(': done'))).toEqual([]);
}
