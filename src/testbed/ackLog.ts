/** Which sequence numbers were acknowledged: one bit a write, so that a bench may run for hours. */

const CHUNK_BITS = 1 << 20;

export class AckLog {
  readonly #chunks: Uint8Array[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(sequence: number): void {
    const index = Math.floor(sequence / CHUNK_BITS);
    while (this.#chunks.length <= index) this.#chunks.push(new Uint8Array(CHUNK_BITS / 8));
    const chunk = this.#chunks[index];
    if (!chunk) throw new RangeError(`no write has the number ${sequence}`);
    const bit = sequence % CHUNK_BITS;
    const byte = chunk[bit >> 3] ?? 0;
    const mask = 1 << (bit & 7);
    if ((byte & mask) !== 0) return;
    chunk[bit >> 3] = byte | mask;
    this.#count++;
  }

  has(sequence: number): boolean {
    const byte = this.#chunks[Math.floor(sequence / CHUNK_BITS)]?.[(sequence % CHUNK_BITS) >> 3] ?? 0;
    return (byte & (1 << (sequence % 8))) !== 0;
  }

  /** The acknowledged numbers, ascending, at most `size` at a time. */
  *batches(size: number): Generator<readonly number[]> {
    let batch: number[] = [];
    for (const [index, chunk] of this.#chunks.entries()) {
      for (const [offset, byte] of chunk.entries()) {
        if (byte === 0) continue;
        for (let bit = 0; bit < 8; bit++) {
          if ((byte & (1 << bit)) === 0) continue;
          batch.push(index * CHUNK_BITS + offset * 8 + bit);
          if (batch.length < size) continue;
          yield batch;
          batch = [];
        }
      }
    }
    if (batch.length > 0) yield batch;
  }
}
