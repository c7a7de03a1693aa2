/** A host on which forks soon fit no longer is an alarm: in check, in status, and for Prometheus. */

import { describe, expect, test } from 'vitest';
import { checkFleet, type CheckInput } from '../../src/fleet/checks.js';
import { DEFAULT_RELOCATION } from '../../src/fleet/fleet.js';
import { memoryAlarms, showForecast } from '../../src/fleet/memoryAlarm.js';
import type { HostForecast } from '../../src/fleet/relocation/forecast.js';
import type { MemoryHistory, ProcessSample } from '../../src/fleet/relocation/state.js';
import { statusView } from '../../src/fleet/statusView.js';
import { statusText } from '../../src/cli/statusText.js';
import { exposition } from '../../src/workers/metrics.js';
import { MiB } from './facts.js';
import { NOW, recordsOf, reportsOf } from './fleetReports.js';
import { fleetOf } from './fleetText.js';
import { hostForecast, leaderHistory } from './memoryStories.js';

const HOUR = 3_600;

function forecast(expected: number | null, low = expected): HostForecast {
  return hostForecast('redis-01-a', {
    forkEnds: { low, expected, high: expected },
    memoryEnds: { low: null, expected: expected === null ? null : 2 * expected, high: null },
  });
}

describe('the forecast of a host', () => {
  test('is an alarm when its largest fork fits no longer within the threshold', () => {
    expect(memoryAlarms([forecast(7 * HOUR)], DEFAULT_RELOCATION)).toEqual([]);
    expect(memoryAlarms([forecast(null)], DEFAULT_RELOCATION)).toEqual([]);
    expect(memoryAlarms([forecast(2 * HOUR, HOUR)], DEFAULT_RELOCATION)).toEqual([
      {
        host: 'redis-01-a',
        seconds: 2 * HOUR,
        text:
          'A fork of sessions-00, the largest on host redis-01-a (up to 300 MiB), is expected to fit no longer in 2 h ' +
          '(1 h at the earliest), and memory to end in 4 h. Move databases off: redis-fleet relocate --host redis-01-a',
      },
    ]);
    expect(memoryAlarms([forecast(0)], DEFAULT_RELOCATION)[0]?.text).toContain('fits no longer');
  });

  test('is told in a few words', () => {
    expect(showForecast({ low: null, expected: null, high: null })).toBe('');
    expect(showForecast({ low: HOUR, expected: null, high: null })).toBe('for 1 h at least');
    expect(showForecast({ low: 0, expected: 0, high: 0 })).toBe('no longer');
    expect(showForecast({ low: HOUR, expected: 3 * HOUR, high: null })).toBe('for 3 h (1 h at the earliest)');
  });
});

describe('a leader that grows', () => {
  const fleet = fleetOf();
  const records = recordsOf(fleet);
  const [first] = records;
  if (first === undefined) throw new Error('The fleet has no database.');
  const { leader } = first;

  /** By so much a second, for the last ten minutes. */
  function historyOf(bytes: number): MemoryHistory {
    const process = (n: number): Partial<ProcessSample> => {
      const grown = bytes * 30 * (20 - n);
      const usedMemory = 200 * MiB - grown;
      return { usedMemory, residentMemory: usedMemory, maxmemory: 0, offset: 1e9 - grown };
    };
    return leaderHistory(leader.host, process, { count: 20, everyMs: 30_000 });
  }

  const reports = reportsOf(fleet).map((report) => ({
    ...report,
    processes: report.processes.map((process) => ({
      ...process,
      facts: process.facts === null ? null : { ...process.facts, maxmemory: 0 },
    })),
  }));
  const inputOf = (bytes: number): CheckInput => ({
    fleet,
    records,
    unreadable: [],
    reports,
    backups: [],
    watches: [],
    maintenance: [],
    histories: [historyOf(bytes)],
    runbooks: [],
    gates: [],
    drills: [],
    now: NOW,
  });
  const memoryFindings = (input: CheckInput) => checkFleet(input).filter(({ check }) => check === 'memory');

  test('makes the check fail with the command that helps; one that does not grow does not', () => {
    expect(memoryFindings(inputOf(0))).toEqual([]);
    // Its follower grows as it does.
    const findings = memoryFindings(inputOf(MiB));
    expect(findings.map(({ subject }) => subject)).toEqual(['redis-01-a', 'redis-01-b']);
    const [finding] = findings;
    expect(finding?.severity).toBe('failure');
    expect(finding?.text).toMatch(/expected to fit no longer in \d+ min.*redis-fleet relocate --host redis-/);
  });

  test('is seen in the status, with the forecast of each host', () => {
    const view = statusView(inputOf(MiB));
    expect(view.well).toBe(false);
    const host = view.servers.flatMap(({ hosts }) => hosts).find((one) => one.host === leader.host);
    expect(host?.forecast?.forkEnds.expected).toBeGreaterThan(60);
    expect(statusText(view, { lines: false })).toMatch(/a fork fits.*\n.*for \d+ min/s);
    const nobodyLooked: CheckInput = { ...inputOf(MiB), histories: [] };
    expect(memoryFindings(nobodyLooked)).toEqual([]);
  });

  test('is a number for Prometheus', async () => {
    const { text } = await exposition(
      {
        fleet: { applied: () => Promise.resolve(fleet) },
        backups: { list: () => Promise.resolve([]) },
        drills: { list: () => Promise.resolve([]) },
        memory: () => Promise.resolve({ records, reports, histories: [historyOf(MiB)], maintenance: [] }),
      },
      NOW,
    );
    const labels = `{fleet="${fleet.name}",host="${leader.host}"}`;
    expect(text).toContain(`redis_fleet_host_memory_alarm${labels} 1`);
    expect(text).toMatch(new RegExp(`redis_fleet_host_fork_fits_seconds${labels} [1-9]`));
    expect(text).toMatch(new RegExp(`redis_fleet_host_fork_headroom_bytes${labels} [1-9]`));
    expect(text).toContain(`redis_fleet_host_memory_alarm{fleet="${fleet.name}",host="redis-02-a"} 0`);
  });
});
