/** Follows something in Consul without the long pauses of a reader that has time: an outage's end is noticed soon. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetError } from '../../fleet/errors.js';

const PAUSE_MS = 500;

/** `watch` as the record stores have it: begun anew, with all there is, half a second after every problem. */
export async function steadily(
  watch: (signal: AbortSignal, onProblem: (problem: FleetError) => void) => Promise<void>,
  onProblem: (problem: FleetError) => void,
  signal: AbortSignal,
): Promise<void> {
  const aborted = (): boolean => signal.aborted;
  while (!aborted()) {
    const attempt = new AbortController();
    const end = (): void => attempt.abort();
    signal.addEventListener('abort', end, { once: true });
    try {
      await watch(attempt.signal, (problem) => {
        if (!aborted()) onProblem(problem);
        attempt.abort();
      });
    } finally {
      signal.removeEventListener('abort', end);
    }
    if (!aborted()) await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
  }
}
