import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backlogNeeded, configuredBacklog, coverage } from '../../src/fleet/backlog.js';
import { FOREIGN_ID, ID, MiB, OLD_ID, processFacts } from './facts.js';

describe('what a leader can continue from its backlog', () => {
  const leader = processFacts({
    position: { id: ID, offset: 1000 },
    previous: { id: OLD_ID, offset: 501 },
    backlog: { active: true, size: MiB, firstByte: 301, length: 700 },
  });

  test('the last byte that the backlog begins after is covered, one byte earlier is not', () => {
    expect(coverage(leader, { id: ID, offset: 300 })).toEqual({ covered: true, missing: 700 });
    expect(coverage(leader, { id: ID, offset: 299 })).toMatchObject({
      covered: false,
      why: expect.stringContaining('1 bytes are gone') as string,
    });
  });

  test('a follower that is exactly up to date is covered', () => {
    expect(coverage(leader, { id: ID, offset: 1000 })).toEqual({ covered: true, missing: 0 });
  });

  test('a follower ahead of its leader is of another history', () => {
    expect(coverage(leader, { id: ID, offset: 1001 })).toMatchObject({
      covered: false,
      why: expect.stringContaining('another history') as string,
    });
  });

  test('a file from before one promotion still works, up to the offset of that promotion', () => {
    expect(coverage(leader, { id: OLD_ID, offset: 500 }).covered).toBe(true);
    expect(coverage(leader, { id: OLD_ID, offset: 501 }).covered).toBe(false);
  });

  test('a foreign file, one without a position, and a leader without a backlog are refused', () => {
    expect(coverage(leader, { id: FOREIGN_ID, offset: 500 }).covered).toBe(false);
    expect(coverage(leader, null).covered).toBe(false);
    const young = { ...leader, backlog: { active: false, size: MiB, firstByte: 0, length: 0 } };
    expect(coverage(young, { id: ID, offset: 1000 }).covered).toBe(false);
  });

  test('property: covered exactly when every byte after the position is in the backlog', () => {
    fc.assert(
      fc.property(
        fc.nat(1_000_000),
        fc.nat(100_000),
        fc.integer({ min: -5, max: 1_100_000 }),
        (end, length, offset) => {
          const firstByte = Math.max(1, end - length + 1);
          const facts = processFacts({
            position: { id: ID, offset: end },
            backlog: { active: true, size: MiB, firstByte, length: end - firstByte + 1 },
          });
          const holdsAll = offset + 1 >= firstByte && offset <= end;
          expect(coverage(facts, { id: ID, offset }).covered).toBe(holdsAll);
        },
      ),
    );
  });
});

describe('the size of a backlog', () => {
  test('property: it covers twice what is expected, in whole mebibytes', () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.nat(1e8), fc.nat(3600), (missing, rate, seconds) => {
        const bytes = backlogNeeded(missing, rate, seconds);
        expect(bytes % MiB).toBe(0);
        expect(bytes).toBeGreaterThanOrEqual(2 * (missing + rate * seconds));
      }),
    );
  });

  test('a quarter of the memory limit, within bounds', () => {
    expect(configuredBacklog(1 * MiB)).toBe(16 * MiB);
    expect(configuredBacklog(256 * MiB)).toBe(64 * MiB);
    expect(configuredBacklog(64 * 1024 * MiB)).toBe(1024 * MiB);
  });
});
