import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  parseDuration,
  parseSize,
  showDuration,
  showSize,
  writeDuration,
  writeSize,
} from '../../src/fleet/quantities.js';

const MiB = 1024 ** 2;

function problemOf(parsed: ReturnType<typeof parseSize>): string {
  return parsed.ok ? `accepted as ${parsed.value}` : parsed.problem;
}

describe('sizes', () => {
  test.each([
    ['256MiB', 256 * MiB],
    ['4GiB', 4096 * MiB],
    ['1.5GiB', 1536 * MiB],
    ['1 TiB', 1024 ** 4],
    ['0.5KiB', 512],
    ['512', 512],
    ['512B', 512],
    [268435456, 256 * MiB],
  ])('%s is %d bytes', (written, bytes) => {
    expect(parseSize(written)).toEqual({ ok: true, value: bytes });
  });

  test.each([
    ['256MB', 'write 256MiB instead'],
    ['4g', 'write 4GiB instead'],
    ['256mib', 'write 256MiB instead'],
    ['3 bananas', 'write 3MiB instead'],
    ['', 'write for example 256MiB instead'],
    ['-1MiB', 'is not a size'],
    ['0.3B', 'is not a whole number of bytes'],
    [-1, 'is not a whole number of bytes'],
    [1.5, 'is not a whole number of bytes'],
    [true, 'true is not a size'],
    [['4GiB'], 'a list is not a size'],
    ['99999999TiB', 'is not a whole number of bytes'],
  ])('%s is refused, and says what to write', (written, words) => {
    expect(problemOf(parseSize(written))).toContain(words);
  });

  test('every size survives being written and read', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(parseSize(writeSize(bytes))).toEqual({ ok: true, value: bytes });
      }),
    );
  });

  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [256 * MiB, '256 MiB'],
    [1300 * MiB, '1.27 GiB'],
    [100.06 * MiB, '100 MiB'],
  ])('%d bytes are shown as %s', (bytes, shown) => {
    expect(showSize(bytes)).toBe(shown);
  });
});

describe('durations', () => {
  test.each([
    ['1s', 1_000],
    ['1500ms', 1_500],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
  ])('%s is %d milliseconds', (written, milliseconds) => {
    expect(parseDuration(written)).toEqual({ ok: true, value: milliseconds });
  });

  test.each([
    [1, 'has no unit, write for example 1s or 1ms instead'],
    ['1', 'is not a duration'],
    ['1 hour', 'is not a duration'],
    ['-1s', 'is not a duration'],
    ['1.0001s', 'is not a whole number of milliseconds'],
    [null, 'nothing is not a duration'],
  ])('%s is refused, and says what to write', (written, words) => {
    expect(problemOf(parseDuration(written))).toContain(words);
  });

  test('every duration survives being written and read', () => {
    fc.assert(
      fc.property(fc.nat(), (milliseconds) => {
        expect(parseDuration(writeDuration(milliseconds))).toEqual({ ok: true, value: milliseconds });
      }),
    );
  });

  test.each([
    [0, '0 ms'],
    [250, '250 ms'],
    [1_500, '1.5 s'],
    [59_900, '59.9 s'],
    [59_990, '1 min'],
    [90 * 60_000, '1 h 30 min'],
    [49 * 3_600_000, '2 d 1 h'],
  ])('%d ms are shown as %s', (milliseconds, shown) => {
    expect(showDuration(milliseconds)).toBe(shown);
  });
});
