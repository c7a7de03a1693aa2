/**
 * zstd, as a row of frames of one piece each: a file that every zstd program reads. Frames are compressed in the thread
 * pool, away from the event loop, and the same input gives the same bytes at every attempt.
 */

import { Decoder, Encoder } from '@toondepauw/node-zstd';
import type { Pieces } from './store/store.js';

/** What goes into one frame. Larger ones compress hardly better, and cost memory. */
export const FRAME_PLAIN_BYTES = 1024 ** 2;
/** Frames waited for while the next is begun: one core's worth, and no more memory than needed. */
const AT_ONCE = 1;

const MAGIC = 0xfd2fb528;
/** By zstd's format. */
const BLOCK_PLAIN_BYTES = 128 * 1024;
/**
 * No frame of ours comes near to it; a hostile file's can fill no more than this times BLOCK_PLAIN_BYTES of memory.
 */
const MOST_BLOCKS = 512;
const LARGEST_FRAME_BYTES = FRAME_PLAIN_BYTES + 64 * 1024;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/** The content is no row of zstd frames as `compressed` writes them, or ends within one. */
export class NotOurFrames extends Error {}

/** @param level 1 (fast) to 19 */
export async function* compressed(content: Pieces, level: number): Pieces {
  const encoder = new Encoder(level);
  const working: Promise<Buffer>[] = [];
  for await (const plain of sliced(content)) {
    working.push(quietly(encoder.encode(plain)));
    if (working.length > AT_ONCE) yield await (working.shift() ?? Promise.resolve(Buffer.alloc(0)));
  }
  for (const frame of working) yield await frame;
}

/** @throws NotOurFrames */
export async function* decompressed(content: Pieces): Pieces {
  const decoder = new Decoder();
  const working: Promise<Buffer>[] = [];
  for await (const frame of frames(content)) {
    working.push(quietly(decode(decoder, frame)));
    if (working.length > AT_ONCE) yield await (working.shift() ?? Promise.resolve(Buffer.alloc(0)));
  }
  for (const plain of working) yield await plain;
}

/** A failure is told when its turn comes, and not as nobody's. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function decode(decoder: Decoder, frame: Buffer): Promise<Buffer> {
  try {
    return await decoder.decode(frame);
  } catch (error) {
    throw new NotOurFrames('a frame of it cannot be decompressed', { cause: error });
  }
}

/**
 * One frame's content after the other. Their buffers come round again: by then the frame is made, since AT_ONCE are under
 * work, one is handed on and one is filled.
 */
async function* sliced(content: Pieces): AsyncGenerator<Buffer> {
  const ring = Array.from({ length: AT_ONCE + 2 }, () => Buffer.allocUnsafeSlow(FRAME_PLAIN_BYTES));
  let turn = 0;
  let filled = 0;
  for await (const piece of content) {
    for (let at = 0; at < piece.length;) {
      const buffer = ring[turn % ring.length] ?? Buffer.alloc(0);
      const taken = Math.min(buffer.length - filled, piece.length - at);
      buffer.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled === buffer.length) {
        yield buffer;
        turn += 1;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield (ring[turn % ring.length] ?? Buffer.alloc(0)).subarray(0, filled);
}

async function* frames(content: Pieces): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  for await (const piece of content) {
    held = Buffer.concat([held, piece]);
    for (;;) {
      const length = frameLength(held);
      if (length === null) break;
      yield held.subarray(0, length);
      held = held.subarray(length);
    }
  }
  if (held.length > 0) throw new NotOurFrames('it ends within a frame');
}

/** Of the frame that `bytes` begin with; null: it is not all there. @throws NotOurFrames */
function frameLength(bytes: Buffer): number | null {
  if (bytes.length < 6) return null;
  if (bytes.readUInt32LE(0) !== MAGIC) throw new NotOurFrames('it is not compressed with zstd');
  const descriptor = bytes[4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 0x03] ?? 0;
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  for (let blocks = 1; ; blocks++) {
    if (bytes.length < at + 3) return tooSmall(bytes);
    const header = bytes.readUIntLE(at, 3);
    const type = (header >> 1) & 0x03;
    const size = header >> 3;
    if (type === RESERVED_BLOCK || size > BLOCK_PLAIN_BYTES)
      throw new NotOurFrames('a frame of it is damaged');
    if (blocks > MOST_BLOCKS) throw tooLarge();
    at += 3 + (type === RLE_BLOCK ? 1 : size);
    if ((header & 1) === 1) break;
  }
  const length = at + ((descriptor & 0x04) !== 0 ? 4 : 0);
  return bytes.length < length ? tooSmall(bytes) : length;
}

/** Waiting for more of a frame has an end. */
function tooSmall(bytes: Buffer): null {
  if (bytes.length > LARGEST_FRAME_BYTES) throw tooLarge();
  return null;
}

function tooLarge(): NotOurFrames {
  return new NotOurFrames('a frame of it is larger than any that we write');
}
