/** Two activities that are asked for at the same moment come in any order. */

import { Context } from '@temporalio/activity';

const ARRIVES_WITHIN_MS = 300;
const LOOK_FOR_IT_EVERY_MS = 5;
const MOST_REMEMBERED = 100;

/** Who shall be second waits a little for the first. */
export function arrivalsInOrder() {
  const arrived = new Set<string>();
  return {
    async arrive(run: string, database: string, after: string | null): Promise<void> {
      const first = `${run}/${after ?? ''}`;
      const deadline = performance.now() + ARRIVES_WITHIN_MS;
      while (after !== null && !arrived.has(first) && performance.now() < deadline) {
        await Context.current().sleep(LOOK_FOR_IT_EVERY_MS);
      }
      if (arrived.size >= MOST_REMEMBERED) arrived.clear();
      arrived.add(`${run}/${database}`);
    },
  };
}
