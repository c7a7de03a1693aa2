/** Two activities that are asked for at the same moment come in any order, and one of them shall go first. */

import { Context } from '@temporalio/activity';

const GOES_WITHIN_MS = 1_000;
const LOOK_EVERY_MS = 5;
const MOST_REMEMBERED = 100;

export interface Order {
  /** Call it when it is past the point that counts, or has ended without. */
  gone(run: string, database: string): void;
  /** Waits a little for the one that goes first; it may have gone in another process, or long ago. */
  after(run: string, database: string | null): Promise<void>;
}

export function inOrder(): Order {
  const gone = new Set<string>();
  return {
    gone(run, database) {
      if (gone.size >= MOST_REMEMBERED) gone.clear();
      gone.add(`${run}/${database}`);
    },
    async after(run, database) {
      const deadline = performance.now() + GOES_WITHIN_MS;
      while (database !== null && !gone.has(`${run}/${database}`) && performance.now() < deadline) {
        await Context.current().sleep(LOOK_EVERY_MS);
      }
    },
  };
}
