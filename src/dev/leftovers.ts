/** What a `redis-fleet dev` that was killed hard may have left: its children's pid files, and their processes. */

import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { awaitEnd } from './child.js';
import { isAlive, parseIdentity, signalProcess } from './processIdentity.js';

/** Ends them, and returns their names. Redis processes have no such files: they go on, and are found again. */
export async function endLeftovers(pids: string): Promise<readonly string[]> {
  const ended = await Promise.all(
    readdirSync(pids).map(async (name) => {
      const file = path.join(pids, name);
      const identity = parseIdentity(readFileSync(file, 'utf8'));
      const lives = identity !== null && isAlive(identity);
      if (lives) {
        signalProcess(identity, 'SIGTERM');
        if (!(await awaitEnd(identity, 3000))) signalProcess(identity, 'SIGKILL');
        await awaitEnd(identity, 3000);
      }
      rmSync(file, { force: true });
      return lives ? [path.basename(name, '.pid')] : [];
    }),
  );
  return ended.flat();
}
