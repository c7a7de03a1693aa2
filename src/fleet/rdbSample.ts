/**
 * The first strings of an RDB file, with their values: a sample that can be compared with what a process has loaded from
 * the file. After Redis's `rdb.h` and `rdb.c` (versions up to 7.4).
 */

import { readRdbLength, readRdbString, skipBytes, type ByteReader } from './rdbString.js';

export interface SampledKey {
  /** Bytes, as latin1. */
  readonly key: string;
  readonly value: string;
}

/** As much of a file's beginning as a sample is taken from. */
export const RDB_SAMPLE_BYTES = 256 * 1024;
const MOST_KEYS = 64;
const MAGIC_BYTES = 9;

const OPCODE = {
  function: 0xf5,
  idle: 0xf8,
  frequency: 0xf9,
  aux: 0xfa,
  sizes: 0xfb,
  expiryMs: 0xfc,
  expiryS: 0xfd,
  database: 0xfe,
} as const;

/** Types that are stored as one string, whatever is in it. */
const ONE_STRING: ReadonlySet<number> = new Set([10, 11, 12, 13, 16, 17, 20]);

/**
 * Strings of database 0 that do not expire, in the order of the file: at most 64, and as many as come before the first
 * thing that is not understood, or not there any more.
 */
export function sampleOf(prefix: Uint8Array): readonly SampledKey[] {
  const bytes = Buffer.from(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const reader: ByteReader = { bytes, at: MAGIC_BYTES };
  const sample: SampledKey[] = [];
  let database = 0;
  let expires = false;
  while (sample.length < MOST_KEYS) {
    const code = bytes[reader.at++];
    switch (code) {
      case undefined:
        return sample;
      case OPCODE.aux:
        if (!readRdbString(reader).ok || !readRdbString(reader).ok) return sample;
        continue;
      case OPCODE.function:
        if (!readRdbString(reader).ok) return sample;
        continue;
      case OPCODE.database: {
        const number = readRdbLength(reader);
        if (number === null) return sample;
        database = number;
        continue;
      }
      case OPCODE.sizes:
        if (readRdbLength(reader) === null || readRdbLength(reader) === null) return sample;
        continue;
      case OPCODE.idle:
        if (readRdbLength(reader) === null) return sample;
        continue;
      case OPCODE.frequency:
        if (!skipBytes(reader, 1)) return sample;
        continue;
      case OPCODE.expiryMs:
      case OPCODE.expiryS:
        if (!skipBytes(reader, code === OPCODE.expiryMs ? 8 : 4)) return sample;
        expires = true;
        continue;
      default:
        break;
    }
    const key = readRdbString(reader);
    if (!key.ok) return sample;
    if (code === 0) {
      const value = readRdbString(reader);
      if (!value.ok) return sample;
      if (database === 0 && !expires) sample.push({ key: key.text, value: value.text });
    } else if (!skipValue(reader, code)) return sample;
    expires = false;
  }
  return sample;
}

/** false: the type is not known here, or the value is not all there. */
function skipValue(reader: ByteReader, type: number): boolean {
  if (ONE_STRING.has(type)) return readRdbString(reader).ok;
  const count = type === 1 || type === 2 || type === 4 || type === 5 || type === 14 || type === 18;
  const length = count ? readRdbLength(reader) : null;
  if (length === null) return false;
  for (let item = 0; item < length; item++) {
    if (type === 18 && readRdbLength(reader) === null) return false;
    if (!readRdbString(reader).ok) return false;
    if (type === 4 && !readRdbString(reader).ok) return false;
    if (type === 5 && !skipBytes(reader, 8)) return false;
  }
  return true;
}
