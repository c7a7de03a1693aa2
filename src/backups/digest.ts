import { createHash } from 'node:crypto';
import type { Pieces } from './store/store.js';

/** What has passed through: how much, and its SHA-256. */
export class Digest {
  readonly #hash = createHash('sha256');
  #bytes = 0;
  #sha256: string | null = null;

  get bytes(): number {
    return this.#bytes;
  }

  /** Ends it. */
  get sha256(): string {
    return (this.#sha256 ??= this.#hash.digest('hex'));
  }

  async *of(content: Pieces): Pieces {
    for await (const piece of content) {
      this.#hash.update(piece);
      this.#bytes += piece.length;
      yield piece;
    }
  }
}
