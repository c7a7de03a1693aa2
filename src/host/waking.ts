/** A pause that can be cut short. */

export interface Waking {
  /** Ends the pause under way; without one, the next pause is over at once. */
  wake(): void;
  /** Until `ms` are over, or somebody wakes it (true), or `signal` aborts. */
  pause(ms: number, signal: AbortSignal): Promise<boolean>;
}

export function waking(): Waking {
  let end: (() => void) | null = null;
  let woken = false;
  return {
    wake() {
      woken = true;
      end?.();
    },
    pause(ms, signal) {
      return new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          end = null;
          resolve(woken);
          woken = false;
        };
        const timer = setTimeout(done, Math.max(0, ms));
        signal.addEventListener('abort', done, { once: true });
        end = done;
        if (woken || signal.aborted) done();
      });
    },
  };
}
