/** An alarm of memory starts one relocation, and asks unless it was told not to. */

import { describe, expect, test } from 'vitest';
import { DEFAULT_RELOCATION, type RelocationSettings } from '../../src/fleet/fleet.js';
import type { HostForecast } from '../../src/fleet/relocation/forecast.js';
import { decideRelocation, type LastRelocation } from '../../src/fleet/relocationCall.js';
import { hostForecast } from './memoryStories.js';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const MINUTE = 60;

function forecast(host: string, forkEnds: number | null, memoryEnds = forkEnds): HostForecast {
  const surely = (at: number | null) => ({ low: at, expected: at, high: at });
  return hostForecast(host, { forkEnds: surely(forkEnds), memoryEnds: surely(memoryEnds) });
}

function decide(
  forecasts: readonly HostForecast[],
  settings: Partial<RelocationSettings> = {},
  last: Readonly<Record<string, LastRelocation>> = {},
) {
  return decideRelocation({
    forecasts,
    last: new Map(Object.entries(last)),
    settings: { ...DEFAULT_RELOCATION, ...settings },
    now: NOW,
  });
}

const calm = [forecast('redis-01-a', null), forecast('redis-01-b', null)];
const alarmed = [forecast('redis-01-a', 50 * MINUTE), forecast('redis-01-b', 20 * MINUTE)];

describe('a relocation', () => {
  test('is not called for where nothing is amiss', () => {
    expect(decide(calm)).toEqual({ call: false, why: null });
  });

  test('is called for once for both hosts of a server, for the one that is full first', () => {
    expect(decide(alarmed)).toMatchObject({ call: true, host: 'redis-01-b', withoutAskingBelow: null });
    for (const host of ['redis-01-a', 'redis-01-b']) {
      const verdict = decide(alarmed, {}, { [host]: { state: 'running' } });
      expect(verdict).toMatchObject({ call: false });
      expect(verdict.why).toContain(`One for ${host} is under way.`);
    }
  });

  test('is not called for again soon after one has ended, whoever ended it', () => {
    const aborted = (minutes: number): Record<string, LastRelocation> => ({
      'redis-01-a': { state: 'ended', endedAt: NOW - minutes * 60_000 },
    });
    expect(decide(alarmed, {}, aborted(59)).why).toContain('for another 1 min (relocation.notAgainWithin)');
    expect(decide(alarmed, {}, aborted(61))).toMatchObject({ call: true });
  });

  test('is never called for where the fleet file says so, and the alarm is said all the same', () => {
    const verdict = decide(alarmed, { policy: 'off' });
    expect(verdict.call).toBe(false);
    expect(verdict.why).toMatch(/redis-fleet relocate --host redis-01-b\. None is started by itself/);
  });

  test('goes on without an engineer only where that is allowed, and then for less than was set', () => {
    const hurry = { policy: 'automatic', withoutAskingBelow: 30 * 60_000 } as const;
    expect(decide(alarmed, hurry)).toMatchObject({ call: true, withoutAskingBelow: 1_800 });
    expect(decide(alarmed, { ...hurry, withoutAskingBelow: null })).toMatchObject({
      withoutAskingBelow: null,
    });
    expect(decide(alarmed, { ...hurry, policy: 'ask' })).toMatchObject({ withoutAskingBelow: null });
  });
});
