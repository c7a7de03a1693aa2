/** The head and the tail of an RDB file: enough to know what it is and where in a replication history it stands. */

import type { RdbHeader, ReplicationPosition } from './facts.js';
import { readRdbString, type ByteReader } from './rdbString.js';

export type RdbProblem = 'empty' | 'foreign' | 'truncated' | 'corrupt';

export type RdbHeaderResult =
  | { readonly ok: true; readonly header: RdbHeader }
  | { readonly ok: false; readonly problem: RdbProblem; readonly why: string };

/** As much of a file's beginning as `parseRdbHeader` needs. */
export const RDB_HEADER_BYTES = 4096;
/** As much of a file's end as `rdbTailProblem` needs. */
export const RDB_TAIL_BYTES = 9;

const MAGIC = 'REDIS';
const MAGIC_BYTES = 9;
const OPCODE_AUX = 0xfa;
const OPCODE_EOF = 0xff;
const CHECKSUM_BYTES = 8;
/** Since this version a checksum follows the end mark. */
const FIRST_VERSION_WITH_CHECKSUM = 5;

/** @param prefix the whole file, or at least its first RDB_HEADER_BYTES */
export function parseRdbHeader(prefix: Uint8Array): RdbHeaderResult {
  const bytes = Buffer.from(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  if (bytes.length === 0) return failed('empty', 'the file is empty');
  const magic = bytes.toString('latin1', 0, MAGIC_BYTES);
  if (!`${MAGIC}0000`.startsWith(magic.replace(/\d/g, '0'))) {
    return failed('foreign', `it begins with ${JSON.stringify(magic)}, not with "REDIS" and a version`);
  }
  if (magic.length < MAGIC_BYTES) return failed('truncated', 'it ends within its first 9 bytes');

  const reader: ByteReader = { bytes, at: MAGIC_BYTES };
  const fields = new Map<string, string>();
  for (;;) {
    const opcode = bytes[reader.at];
    if (opcode === undefined) return failed('truncated', 'it ends within its header');
    if (opcode !== OPCODE_AUX) break;
    reader.at += 1;
    const name = readRdbString(reader);
    const value = name.ok ? readRdbString(reader) : name;
    if (!name.ok || !value.ok) {
      return value.ok || value.problem === 'truncated'
        ? failed('truncated', 'it ends within its header')
        : failed('corrupt', 'its header holds a field that cannot be read');
    }
    fields.set(name.text, value.text);
  }
  return { ok: true, header: toHeader(Number(magic.slice(MAGIC.length)), fields) };
}

/**
 * A cheap look at a file's end, which a copy that was cut short does not have.
 * @param tail at least the last RDB_TAIL_BYTES of the file
 * @returns what is wrong, or null
 */
export function rdbTailProblem(header: RdbHeader, tail: Uint8Array): string | null {
  const expected = header.rdbVersion >= FIRST_VERSION_WITH_CHECKSUM ? 1 + CHECKSUM_BYTES : 1;
  return tail[tail.length - expected] === OPCODE_EOF ? null : 'it has no end mark: it was cut short';
}

/** An empty file that stands at `position`, for a follower of a leader that is still empty. */
export function writeEmptyRdb(position: ReplicationPosition): Buffer {
  return Buffer.concat([
    Buffer.from(`${MAGIC}0009`, 'latin1'),
    auxField('redis-ver', '7.0.0'),
    // All three are needed: without the stream's database Redis takes the position for none.
    auxField('repl-stream-db', '0'),
    auxField('repl-id', position.id),
    auxField('repl-offset', String(position.offset)),
    Buffer.from([OPCODE_EOF]),
    // Zeros: "no checksum was computed".
    Buffer.alloc(CHECKSUM_BYTES),
  ]);
}

/** Names and values are short: their lengths fit the 6-bit encoding. */
function auxField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([OPCODE_AUX]), shortString(name), shortString(value)]);
}

function shortString(text: string): Buffer {
  const content = Buffer.from(text, 'latin1');
  if (content.length >= 64) throw new RangeError(`not a short string: ${text}`);
  return Buffer.concat([Buffer.from([content.length]), content]);
}

function toHeader(rdbVersion: number, fields: ReadonlyMap<string, string>): RdbHeader {
  const created = Number(fields.get('ctime') ?? Number.NaN);
  return {
    rdbVersion,
    redisVersion: fields.get('redis-ver') ?? null,
    position: positionOf(fields),
    createdAt: isPlausibleTime(created) ? new Date(created * 1000).toISOString() : null,
  };
}

function positionOf(fields: ReadonlyMap<string, string>): ReplicationPosition | null {
  const id = fields.get('repl-id') ?? '';
  const offset = Number(fields.get('repl-offset') ?? -1);
  const streamDatabase = Number(fields.get('repl-stream-db') ?? -1);
  if (!/^[0-9a-f]{40}$/.test(id) || !Number.isSafeInteger(offset) || offset < 0) return null;
  // Redis itself ignores the position of a file whose stream database is unknown.
  return Number.isInteger(streamDatabase) && streamDatabase >= 0 ? { id, offset } : null;
}

function isPlausibleTime(seconds: number): boolean {
  return Number.isFinite(seconds) && seconds > 0 && seconds < 32_503_680_000;
}

function failed(problem: RdbProblem, why: string): RdbHeaderResult {
  return { ok: false, problem, why };
}
