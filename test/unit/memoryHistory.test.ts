/** What an agent remembers of its host's memory: bounded, dense now and thin with age, and the same after it was stored. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HostReport, ProcessFacts } from '../../src/fleet/facts.js';
import { emptyHistory, remember, thinned } from '../../src/fleet/memoryHistory.js';
import { readHistory, writeHistory } from '../../src/fleet/memoryHistoryFormat.js';
import type { MemoryHistory, MemorySample } from '../../src/fleet/relocation/state.js';
import { deflated } from '../../src/records/memory.js';
import { leaderEndpoint, MiB, processFacts } from './facts.js';

const MACHINE = { limitedBy: 'cgroup', cores: 4 } as const;
const START = Date.parse('2026-11-23T12:00:00Z');

function reportAt(seconds: number, changes: Partial<ProcessFacts> | null = {}, databases = 1): HostReport {
  return {
    host: 'redis-01-a',
    at: new Date(START + seconds * 1_000).toISOString(),
    memory: { total: 4096 * MiB, available: 1024 * MiB },
    diskAvailable: 1,
    processes: Array.from({ length: databases }, (_, index) => ({
      database: `sessions-${index}`,
      endpoint: { ...leaderEndpoint, port: 6300 + index },
      state: 'running',
      pid: 7 + index,
      residentMemory: 300 * MiB,
      lastWords: null,
      facts: changes === null ? null : processFacts({ ...changes, runId: 'abcdef0123456789' }),
    })),
  };
}

/** Every five seconds, for so long. */
function after(seconds: number, databases = 1): MemoryHistory {
  let history = emptyHistory('redis-01-a');
  let before: HostReport | null = null;
  for (let at = 0; at <= seconds; at += 5) {
    const grown = {
      usedMemory: 200 * MiB + at * 12_345,
      position: { id: 'a'.repeat(40), offset: at * 54_321 },
    };
    const report = reportAt(at, grown, databases);
    history = remember(history, report, before, MACHINE);
    before = report;
  }
  return history;
}

describe('samples', () => {
  test('are kept as dense as they come for the last seconds, and some of each age for two days', () => {
    const { samples } = after(2 * 86_400);
    const ages = samples.map(({ at }) => (START + 2 * 86_400_000 - at) / 1_000);
    expect(ages.slice(-4)).toEqual([15, 10, 5, 0]);
    expect(ages.some((age) => age > 36 * 3_600)).toBe(true);
    for (const since of [60, 600, 3_600, 6 * 3_600]) {
      expect(ages.some((age) => age >= since && age < 1.5 * since)).toBe(true);
    }
    expect(samples.length).toBeLessThanOrEqual(72);
  });

  test('of any times are bounded, in order, and hold the newest', () => {
    const times = fc.array(fc.integer({ min: 0, max: 4 * 86_400_000 }), { minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(times, (all) => {
        const sorted = [...new Set(all)].sort((a, b) => a - b);
        const newest = sorted.at(-1) ?? 0;
        const samples = sorted.map((at): MemorySample => ({
          at,
          memory: { total: 2, available: 1 },
          processes: [],
        }));
        const kept = thinned(samples, newest);
        expect(kept.at(-1)?.at).toBe(newest);
        expect(kept.length).toBeLessThanOrEqual(72);
        expect(kept.map(({ at }) => at)).toEqual([...kept.map(({ at }) => at)].sort((a, b) => a - b));
        // Nothing more to thin out at the same moment.
        expect(thinned(kept, newest)).toEqual(kept);
        for (const { at } of kept) expect(newest - at).toBeLessThanOrEqual(2 * 86_400_000);
      }),
    );
  });

  test('leave out a process that did not answer, and what a clock that was set back said before', () => {
    const history = remember(after(60), reportAt(65, null), null, MACHINE);
    expect(history.samples.at(-1)?.processes).toEqual([]);
    const back = remember(history, reportAt(30), null, MACHINE);
    expect(back.samples.at(-1)?.at).toBe(START + 30_000);
    expect(back.samples.every(({ at }) => at <= START + 30_000)).toBe(true);
  });
});

describe('a fork', () => {
  const quiet = reportAt(0, { totalForks: 1, position: { id: 'x', offset: 1_000 } });
  const forking = reportAt(5, { totalForks: 2, saving: true, position: { id: 'x', offset: 6_000 } });
  const done: Partial<ProcessFacts> = {
    totalForks: 2,
    lastCowBytes: 3 * MiB,
    lastSave: { ok: true, seconds: 6 },
    position: { id: 'x', offset: 16_000 },
  };
  const forksOf = (...reports: HostReport[]): MemoryHistory['forks'] =>
    reports.reduce(
      ({ history, before }, report) => ({
        history: remember(history, report, before, MACHINE),
        before: report,
      }),
      { history: emptyHistory('redis-01-a'), before: null as HostReport | null },
    ).history.forks;

  test('is remembered when its child has ended, with what it cost and what was written meanwhile', () => {
    expect(forksOf(quiet, forking)).toEqual([]);
    expect(forksOf(quiet, forking, reportAt(10, done))).toEqual([
      {
        database: 'sessions-0',
        port: 6300,
        at: START + 10_000,
        seconds: 6,
        copyOnWrite: 3 * MiB,
        usedMemory: 200 * MiB,
        writeRate: 2_000,
      },
    ]);
  });

  test('between two reports counts as well; one that failed, or of a process before a restart, does not', () => {
    expect(forksOf(quiet, reportAt(5, done))).toHaveLength(1);
    expect(forksOf(quiet, reportAt(5, { ...done, lastSave: { ok: false, seconds: 6 } }))).toEqual([]);
    const other = reportAt(5, done);
    const reborn = {
      ...other,
      processes: other.processes.map((one) => ({
        ...one,
        facts: processFacts({ ...done, runId: 'another' }),
      })),
    };
    expect(forksOf(quiet, reborn)).toEqual([]);
  });

  test('is forgotten when three later ones are known', () => {
    const reports = Array.from({ length: 6 }, (_, index) =>
      reportAt(5 * index, { ...done, totalForks: index, lastCowBytes: index }),
    );
    expect(forksOf(...reports).map(({ copyOnWrite }) => copyOnWrite)).toEqual([3, 4, 5]);
  });
});

describe('stored', () => {
  test('it is the same when it is read, and nothing when it is nonsense', () => {
    const history = after(3_600, 3);
    expect(readHistory(JSON.parse(JSON.stringify(writeHistory(history))))).toEqual(history);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(readHistory(value)).toBeNull();
      }),
    );
  });

  test('it stays small: two days of 32 processes', () => {
    expect(deflated(after(2 * 86_400, 32)).length).toBeLessThan(64 * 1024);
  });
});
