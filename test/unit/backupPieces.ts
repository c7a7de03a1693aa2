/** Content for streams: made, cut into pieces that are overwritten as soon as the next is asked for, and gathered. */

import type { Pieces } from '../../src/backups/store/store.js';
import { SeededRandom } from '../../src/testbed/random.js';

/** Half of it compressible. */
export function someContent(bytes: number, seed = 1): Buffer {
  const random = new SeededRandom(seed);
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 64) {
    if (random.next() < 0.5) content.fill('the same words again and again ', at, Math.min(at + 64, bytes));
    else for (let byte = at; byte < Math.min(at + 64, bytes); byte++) content[byte] = random.between(0, 255);
  }
  return content;
}

// eslint-disable-next-line @typescript-eslint/require-await -- there is nothing to wait for
export async function* inPieces(content: Uint8Array, bytes: number): Pieces {
  const buffer = Buffer.alloc(bytes);
  for (let at = 0; at < content.length; at += bytes) {
    const piece = content.subarray(at, at + bytes);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
    // Whoever kept it has nothing.
    buffer.fill(0xee);
  }
}

export async function gather(pieces: Pieces): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const piece of pieces) copies.push(Buffer.from(piece));
  return Buffer.concat(copies);
}
