/** Manifests and the like: objects that fit into memory. */

import { FleetError } from '../../fleet/errors.js';
import type { BackupStore } from './store.js';

const LARGEST_BYTES = 1024 ** 2;

export async function putText(store: BackupStore, key: string, text: string): Promise<void> {
  // eslint-disable-next-line @typescript-eslint/require-await -- there is nothing to wait for
  async function* content(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(text);
  }
  await store.put(key, content(), { atMostBytes: Buffer.byteLength(text), repeatable: true });
}

/** @throws NotFound, InvalidRecord (too large to be what it should be) */
export async function getText(store: BackupStore, key: string): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of store.get(key)) {
    bytes += piece.length;
    if (bytes > LARGEST_BYTES) {
      throw new FleetError(
        'InvalidRecord',
        `${key} in ${store.name} is larger than ${LARGEST_BYTES} bytes: it is none of ours. Nothing was restored from it.`,
      );
    }
    pieces.push(Uint8Array.from(piece));
  }
  return Buffer.concat(pieces).toString('utf8');
}
