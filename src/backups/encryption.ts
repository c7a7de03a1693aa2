/** Encryption on our side, in the format of age: a backup can be read with the age program as well. */

import { ReadableStream } from 'node:stream/web';
import { Decrypter, Encrypter } from 'age-encryption';
import { messageOf } from '../fleet/errors.js';
import type { Identity, Recipient } from './keyring.js';
import type { Pieces } from './store/store.js';

/** The content is encrypted for none of the keys at hand. */
export class NoKeyFits extends Error {}

/** The content is not what was encrypted: it was changed or cut short, or is no file of age's. */
export class NotDecryptable extends Error {}

export async function* encrypted(content: Pieces, recipients: readonly Recipient[]): Pieces {
  const encrypter = new Encrypter();
  for (const { recipient } of recipients) encrypter.addRecipient(recipient);
  const source = new Source(content);
  try {
    yield* piecesOf(await encrypter.encrypt(source.stream));
  } finally {
    await source.close();
  }
}

/** @throws NoKeyFits, NotDecryptable; what reading `content` throws goes through as it is */
export async function* decrypted(content: Pieces, identities: readonly Identity[]): Pieces {
  const decrypter = new Decrypter();
  for (const { identity } of identities) decrypter.addIdentity(identity);
  const source = new Source(content);
  try {
    yield* piecesOf(await decrypter.decrypt(source.stream));
  } catch (error) {
    if (source.failure !== null) throw source.failure.of;
    // The library has no types for its errors.
    if (/no identity matched/i.test(messageOf(error)))
      throw new NoKeyFits(messageOf(error), { cause: error });
    throw new NotDecryptable(messageOf(error), { cause: error });
  } finally {
    await source.close();
  }
}

/**
 * The library's own measure. Small pieces are also soon done with: what lives long within its streams is kept by the
 * collector for longer still.
 */
const HANDED_IN_BYTES = 64 * 1024;

/** Pieces as a web stream, which forgets neither what went wrong nor to let go of a file. */
class Source {
  readonly #pieces: AsyncGenerator<Uint8Array, void, undefined>;
  readonly stream: ReadableStream<Uint8Array>;
  /** What reading threw: a web stream may wrap it. */
  failure: { readonly of: unknown } | null = null;

  constructor(content: Pieces) {
    this.#pieces = copied(content);
    this.stream = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const next = await this.#pieces.next();
            if (next.done === true) controller.close();
            else controller.enqueue(next.value);
          } catch (error) {
            this.failure = { of: error };
            throw error;
          }
        },
        cancel: () => this.close(),
      },
      // Pulled one by one: queues would hold more than is needed.
      { highWaterMark: 0 },
    );
  }

  /** The library does not cancel a stream that it gave up. */
  async close(): Promise<void> {
    await this.#pieces.return();
  }
}

/** Streams keep a piece for a while, in which ours may be overwritten. */
async function* copied(content: Pieces): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of content) {
    for (let at = 0; at < piece.length; at += HANDED_IN_BYTES) {
      yield Uint8Array.from(piece.subarray(at, at + HANDED_IN_BYTES));
    }
  }
}

const HANDED_ON_BYTES = 1024 ** 2;

/** The library works in pieces of 64 KiB: gathered, so that what follows has fewer turns. */
async function* piecesOf(stream: ReadableStream<Uint8Array>): Pieces {
  const buffer = Buffer.allocUnsafeSlow(HANDED_ON_BYTES);
  let filled = 0;
  for await (const piece of stream) {
    for (let at = 0; at < piece.length;) {
      const taken = Math.min(buffer.length - filled, piece.length - at);
      buffer.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled === buffer.length) {
        yield buffer;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
