import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { retain, type RetentionCandidate } from '../../src/fleet/backupRetention.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.parse('2026-11-02T00:00:00Z');

function at(ms: number, verified = true): RetentionCandidate {
  const takenAt = new Date(ms).toISOString();
  return { id: takenAt, takenAt, verified };
}

const rule = fc.record({ hourly: fc.nat(30), daily: fc.nat(10), weekly: fc.nat(6) });
const candidates = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 60 * 24 * 60 }), fc.boolean()), {
    selector: ([minute]) => minute,
    maxLength: 120,
  })
  .map((list) => list.map(([minute, verified]) => at(START + minute * 60_000, verified)));

describe('retention', () => {
  it('never gives up the last two verified backups: one may be damaged in the store later', () => {
    fc.assert(
      fc.property(candidates, rule, (list, keep) => {
        const verified = list.filter((one) => one.verified).toSorted((a, b) => (a.id < b.id ? 1 : -1));
        const kept = retain(list, keep).kept.map(({ id }) => id);
        for (const { id } of verified.slice(0, 2)) expect(kept).toContain(id);
      }),
    );
  });

  it('gives up nothing at all while nothing is verified', () => {
    fc.assert(
      fc.property(candidates, rule, (list, keep) => {
        const unverified = list.map((candidate) => ({ ...candidate, verified: false }));
        expect(retain(unverified, keep).expired).toEqual([]);
      }),
    );
  });

  it('keeps or expires each backup, and keeps no more verified ones than the rule allows', () => {
    fc.assert(
      fc.property(candidates, rule, (list, keep) => {
        const { kept, expired } = retain(list, keep);
        expect([...kept.map(({ id }) => id), ...expired].toSorted()).toEqual(
          list.map(({ id }) => id).toSorted(),
        );
        const verified = kept.filter(({ id }) => list.some((each) => each.id === id && each.verified));
        expect(verified.length).toBeLessThanOrEqual(2 + keep.hourly + keep.daily + keep.weekly);
      }),
    );
  });

  it('decides the same again about what it kept, in whatever order it is given', () => {
    fc.assert(
      fc.property(candidates, rule, (list, keep) => {
        const once = retain(list, keep);
        expect(retain(list.toReversed(), keep)).toEqual(once);
        const left = list.filter(({ id }) => once.kept.some((backup) => backup.id === id));
        expect(retain(left, keep)).toEqual({ kept: once.kept, expired: [] });
      }),
    );
  });

  it('keeps an unverified backup until a younger one is verified', () => {
    const list = [at(START, false), at(START + HOUR), at(START + 2 * HOUR, false)];
    const { kept, expired } = retain(list, { hourly: 24, daily: 7, weekly: 4 });
    expect(expired).toEqual([at(START).id]);
    expect(kept).toEqual([
      { id: at(START + 2 * HOUR).id, why: ['nothing better yet'] },
      { id: at(START + HOUR).id, why: ['newest verified', 'hourly', 'daily', 'weekly'] },
    ]);
  });

  it('ends, in ten weeks of hourly sweeps, with 24 hours, 7 days and 4 weeks', () => {
    const keep = { hourly: 24, daily: 7, weekly: 4 };
    let held: readonly RetentionCandidate[] = [];
    for (let hour = 0; hour < 10 * 7 * 24; hour++) {
      held = [...held, at(START + hour * HOUR)];
      const { kept } = retain(held, keep);
      held = held.filter(({ id }) => kept.some((backup) => backup.id === id));
    }
    const last = START + (10 * 7 * 24 - 1) * HOUR;
    const has = (ms: number): boolean => held.some(({ id }) => id === at(ms).id);
    for (let hour = 0; hour < 24; hour++) expect(has(last - hour * HOUR)).toBe(true);
    for (let day = 0; day < 7; day++) expect(has(last - day * DAY)).toBe(true);
    for (let week = 0; week < 4; week++) expect(has(last - week * 7 * DAY)).toBe(true);
    // The newest hour is also the newest day and week, and so on.
    expect(held).toHaveLength(24 + 6 + 3);
  });

  it('does not let days without a backup use up what is kept', () => {
    const list = [at(START), at(START + DAY), at(START + 20 * DAY)];
    const { kept } = retain(list, { hourly: 1, daily: 3, weekly: 0 });
    expect(kept).toHaveLength(3);
  });
});
