/** Files as pieces: disk and processor at work at the same time, with two buffers whatever the file's size. */

import type { FileHandle } from 'node:fs/promises';
import type { Pieces } from './store/store.js';

const PIECE_BYTES = 1024 ** 2;

/** From byte `from` to the end. The next piece is read while one is used. */
export async function* filePieces(handle: FileHandle, from = 0, signal?: AbortSignal): Pieces {
  const buffers = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)] as const;
  let at = from;
  const read = (turn: number): Promise<Buffer> => {
    const buffer = buffers[turn % 2 === 0 ? 0 : 1];
    const reading = handle
      .read(buffer, 0, buffer.length, at)
      .then(({ bytesRead }) => buffer.subarray(0, bytesRead));
    // It is awaited in the next round; until then nobody else may be told.
    reading.catch(() => undefined);
    return reading;
  };
  let reading = read(0);
  try {
    for (let turn = 1; ; turn++) {
      signal?.throwIfAborted();
      const piece = await reading;
      if (piece.length === 0) return;
      at += piece.length;
      reading = read(turn);
      yield piece;
    }
  } finally {
    // The file may be closed next.
    await reading.catch(() => undefined);
  }
}

/** Appends all of it. The next piece is made while one is written. @returns how many bytes */
export async function writePieces(
  handle: FileHandle,
  content: Pieces,
  signal?: AbortSignal,
): Promise<number> {
  let bytes = 0;
  let copy = Buffer.alloc(0);
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const piece of content) {
      signal?.throwIfAborted();
      await writing;
      if (copy.length < piece.length) copy = Buffer.allocUnsafeSlow(piece.length);
      copy.set(piece);
      writing = writeAll(handle, copy.subarray(0, piece.length));
      writing.catch(() => undefined);
      bytes += piece.length;
    }
  } finally {
    await writing;
  }
  return bytes;
}

async function writeAll(handle: FileHandle, piece: Buffer): Promise<void> {
  for (let at = 0; at < piece.length;) {
    // A disk that fills up takes a part of it first.
    at += (await handle.write(piece, at, piece.length - at, null)).bytesWritten;
  }
}
