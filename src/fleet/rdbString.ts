/** Strings as RDB files encode them: with every length encoding, as integers, and LZF-compressed. */

export interface ByteReader {
  readonly bytes: Buffer;
  at: number;
}

export type RdbStringResult =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problem: 'truncated' | 'corrupt' };

const TRUNCATED: RdbStringResult = { ok: false, problem: 'truncated' };
const CORRUPT: RdbStringResult = { ok: false, problem: 'corrupt' };

/** Longer than any field of a header: a larger length is garbage, not a string that goes on. */
const LONGEST = 1 << 20;

/** Reads one string and moves the reader behind it. */
export function readRdbString(reader: ByteReader): RdbStringResult {
  const length = readLength(reader);
  if (length === 'truncated') return TRUNCATED;
  if (length === 'corrupt') return CORRUPT;
  if (length.kind === 'plain') return readPlain(reader, length.value);
  switch (length.value) {
    case 0:
      return readInteger(reader, 1);
    case 1:
      return readInteger(reader, 2);
    case 2:
      return readInteger(reader, 4);
    case 3:
      return readCompressed(reader);
    default:
      return CORRUPT;
  }
}

/** null: there is none, or it is one of a special encoding. */
export function readRdbLength(reader: ByteReader): number | null {
  const length = readLength(reader);
  return typeof length === 'object' && length.kind === 'plain' ? length.value : null;
}

/** false: they are not all there. */
export function skipBytes(reader: ByteReader, count: number): boolean {
  return take(reader, count) !== null;
}

type Length = { readonly kind: 'plain' | 'special'; readonly value: number } | 'truncated' | 'corrupt';

function readLength(reader: ByteReader): Length {
  const first = takeByte(reader);
  if (first === null) return 'truncated';
  const rest = first & 0x3f;
  switch (first >> 6) {
    case 0:
      return { kind: 'plain', value: rest };
    case 1: {
      const second = takeByte(reader);
      return second === null ? 'truncated' : { kind: 'plain', value: (rest << 8) | second };
    }
    case 2: {
      const width = first === 0x80 ? 4 : first === 0x81 ? 8 : 0;
      if (width === 0) return 'corrupt';
      const content = take(reader, width);
      if (content === null) return 'truncated';
      const value = width === 4 ? content.readUInt32BE() : Number(content.readBigUInt64BE());
      return value > LONGEST ? 'corrupt' : { kind: 'plain', value };
    }
    default:
      return { kind: 'special', value: rest };
  }
}

function readPlain(reader: ByteReader, length: number): RdbStringResult {
  const content = take(reader, length);
  return content === null ? TRUNCATED : { ok: true, text: content.toString('latin1') };
}

function readInteger(reader: ByteReader, width: 1 | 2 | 4): RdbStringResult {
  const content = take(reader, width);
  return content === null ? TRUNCATED : { ok: true, text: String(content.readIntLE(0, width)) };
}

function readCompressed(reader: ByteReader): RdbStringResult {
  const compressed = readLength(reader);
  if (compressed === 'truncated') return TRUNCATED;
  const plain = readLength(reader);
  if (plain === 'truncated') return TRUNCATED;
  if (compressed === 'corrupt' || plain === 'corrupt') return CORRUPT;
  if (compressed.kind !== 'plain' || plain.kind !== 'plain') return CORRUPT;
  const content = take(reader, compressed.value);
  if (content === null) return TRUNCATED;
  const text = expandLzf(content, plain.value);
  return text === null ? CORRUPT : { ok: true, text: text.toString('latin1') };
}

/** LZF: runs of literals, and references to what was already written. null: not LZF. */
function expandLzf(content: Buffer, length: number): Buffer | null {
  const out = Buffer.alloc(length);
  let at = 0;
  let written = 0;
  while (at < content.length) {
    const control = content[at++] ?? 0;
    if (control < 32) {
      const run = control + 1;
      if (at + run > content.length || written + run > length) return null;
      content.copy(out, written, at, at + run);
      at += run;
      written += run;
      continue;
    }
    let run = control >> 5;
    if (run === 7) run += content[at++] ?? 0;
    const low = content[at++];
    if (low === undefined) return null;
    let from = written - ((control & 0x1f) << 8) - low - 1;
    run += 2;
    if (from < 0 || written + run > length) return null;
    // Byte by byte: a reference may overlap what it writes.
    for (; run > 0; run--) out[written++] = out[from++] ?? 0;
  }
  return written === length ? out : null;
}

function takeByte(reader: ByteReader): number | null {
  const byte = reader.bytes[reader.at];
  if (byte === undefined) return null;
  reader.at += 1;
  return byte;
}

function take(reader: ByteReader, length: number): Buffer | null {
  const end = reader.at + length;
  if (end > reader.bytes.length) return null;
  const content = reader.bytes.subarray(reader.at, end);
  reader.at = end;
  return content;
}
