/** Sizes and durations as people write and read them. Sizes are bytes, durations milliseconds. */

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  /** `problem` completes a sentence that begins with the name of a field. */
  | { readonly ok: false; readonly problem: string };

const SIZE_UNITS: readonly (readonly [unit: string, bytes: number])[] = [
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
];

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `256MiB`, `1.5GiB`, or a whole number of bytes. */
export function parseSize(value: unknown): Parsed<number> {
  if (typeof value === 'number') return wholeBytes(value, String(value));
  if (typeof value !== 'string')
    return refuse(`${quote(value)} is not a size, write for example 256MiB instead`);
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(value);
  if (match === null) return refuse(`${quote(value)} is not a size, write for example 256MiB instead`);
  const [, digits = '', unit = ''] = match;
  if (unit === '' || unit === 'B') return wholeBytes(Number(digits), value);
  const known = SIZE_UNITS.find(([name]) => name === unit);
  if (known !== undefined) return wholeBytes(Number(digits) * known[1], value);
  // Redis reads "1gb" as 2^30 and "1g" as 10^9: nobody remembers which, so neither is accepted.
  const meant = SIZE_UNITS.find(([name]) => name.charAt(0).toLowerCase() === unit.charAt(0).toLowerCase());
  const instead = meant === undefined ? `${digits}MiB` : `${digits}${meant[0]}`;
  return refuse(`${quote(value)} has a unit that is not one of KiB, MiB, GiB, TiB, write ${instead} instead`);
}

/** `1500ms`, `1s`, `5m`, `1h`, `7d`. A bare number is refused: nobody can tell seconds from milliseconds. */
export function parseDuration(value: unknown): Parsed<number> {
  if (typeof value === 'number') {
    return refuse(
      `${String(value)} has no unit, write for example ${String(value)}s or ${String(value)}ms instead`,
    );
  }
  const match = typeof value === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$/.exec(value) : null;
  const [, digits = '', unit = ''] = match ?? [];
  const factor = DURATION_UNITS[unit];
  if (factor === undefined) {
    return refuse(`${quote(value)} is not a duration, write for example 1500ms, 1s, 5m or 1h instead`);
  }
  const milliseconds = Math.round(Number(digits) * factor * 1e6) / 1e6;
  if (!Number.isSafeInteger(milliseconds)) {
    return refuse(`${quote(value)} is not a whole number of milliseconds, write for example 1500ms instead`);
  }
  return { ok: true, value: milliseconds };
}

/** For people: `256 MiB`, `1.5 GiB`. Rounded to three digits. */
export function showSize(bytes: number): string {
  const unit = SIZE_UNITS.find(([, size]) => Math.abs(bytes) >= size);
  if (unit === undefined) return `${String(Math.round(bytes))} B`;
  const count = bytes / unit[1];
  return `${trimmed(count, count < 10 ? 2 : count < 100 ? 1 : 0)} ${unit[0]}`;
}

/** As a fleet file would have it, without rounding: `parseSize(writeSize(n))` is n. */
export function writeSize(bytes: number): string {
  const unit = SIZE_UNITS.find(([, size]) => bytes >= size && bytes % size === 0);
  return unit === undefined ? String(bytes) : `${String(bytes / unit[1])}${unit[0]}`;
}

/** For people: `250 ms`, `1.5 s`, `5 min`, `3 h 20 min`, `2 d 4 h`. */
export function showDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${String(Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1_000;
  if (seconds < 59.95) return `${trimmed(seconds, 1)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${String(minutes)} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return twoParts(hours, 'h', minutes % 60, 'min');
  return twoParts(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** For people, of data: in whole seconds, rounded up, since what may be lost is not made less. */
export function showAge(milliseconds: number): string {
  return showDuration(Math.max(1, Math.ceil(milliseconds / 1_000)) * 1_000);
}

/** As a fleet file would have it: `parseDuration(writeDuration(n))` is n. */
export function writeDuration(milliseconds: number): string {
  const unit = Object.entries(DURATION_UNITS)
    .reverse()
    .find(([, factor]) => milliseconds >= factor && milliseconds % factor === 0);
  return unit === undefined ? `${String(milliseconds)}ms` : `${String(milliseconds / unit[1])}${unit[0]}`;
}

/** A value in a sentence, cut where it is long. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : describe(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : JSON.stringify(value);
}

function wholeBytes(bytes: number, written: string): Parsed<number> {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return { ok: true, value: bytes };
  return refuse(`${quote(written)} is not a whole number of bytes, write for example 256MiB instead`);
}

function refuse(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem };
}

function trimmed(value: number, digits: number): string {
  return value
    .toFixed(digits)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
}

function twoParts(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0
    ? `${String(large)} ${largeUnit}`
    : `${String(large)} ${largeUnit} ${String(small)} ${smallUnit}`;
}
