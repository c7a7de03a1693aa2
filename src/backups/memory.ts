/**
 * Keeps what a stream takes from memory small. Buffers that libraries give back are memory outside of V8's heap, which V8
 * collects only when tens of megabytes of them have gathered: on a host whose memory is planned for forks that is too
 * late.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Pieces } from './store/store.js';

const EVERY_BYTES = 8 * 1024 ** 2;

let collect: (() => void) | undefined;

/** Passes everything on, and has what was used meanwhile collected: about a millisecond each time. */
export async function* lean(content: Pieces): Pieces {
  let bytes = 0;
  for await (const piece of content) {
    yield piece;
    bytes += piece.length;
    if (bytes >= EVERY_BYTES) {
      bytes = 0;
      (collect ??= minorCollection())();
    }
  }
}

function minorCollection(): () => void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('globalThis.gc');
  // No other context gets it: workflows run in some.
  setFlagsFromString('--no-expose-gc');
  if (typeof gc !== 'function') return () => undefined;
  const collectNow = gc as (options: { readonly type: 'minor' }) => void;
  return () => collectNow({ type: 'minor' });
}
