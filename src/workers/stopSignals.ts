/** SIGTERM and SIGINT mean: finish or hand back what you hold. A second one means: now. */

import process from 'node:process';
import type { Log } from '../connections/log.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Aborts on the first signal, ends the process on the second. */
export function stopOnSignals(log: Log): AbortSignal {
  const stopping = new AbortController();
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (stopping.signal.aborted) {
        log.warn(
          `Second ${name}: stopped at once. What was running is tried again elsewhere after its heartbeat timeout.`,
        );
        process.exit(1);
      }
      log.info(`${name}: finishing, or handing back, what is running. Redis is not touched.`);
      stopping.abort();
    });
  }
  return stopping.signal;
}
