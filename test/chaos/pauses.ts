/** Writes are paused for a fork: for a data file, for a follower that lacks the data, and not at all. */

import { rmSync } from 'node:fs';
import { BLACK_HOLE } from '../../src/fleet/gates.js';
import { processFiles } from '../../src/host/layout.js';
import { PAUSE } from '../../src/workflows/pauseWritesOutline.js';
import type { PauseFork } from '../../src/fleet/pausedFork.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import type { Procedure } from './procedure.js';
import { at, partsOf, tell } from './stage.js';

const APPROVED = { [PAUSE.name]: { by: 'ann', reason: 'the crash matrix' } };

const CHANGES: ReadonlySet<string> = new Set([
  'claimDatabases',
  'acquireForkPermit',
  'forkInPause',
  'resumeWrites',
  'releaseForkPermit',
  'releaseDatabases',
]);

function pausing(
  name: string,
  fork: PauseFork,
  prepare: (fleet: TestFleet, database: string) => Promise<void>,
  update?: 'abort',
): Procedure {
  return {
    name: `pauseWrites ${name}`,
    type: 'pauseWrites',
    killedAfter: CHANGES,
    writes: 'meanwhile',
    parts: (fleet, database) => partsOf(fleet, database),
    ...(update === undefined ? { forksOn: 'leader' } : { update }),
    async prepare(fleet, database) {
      // What a run before saved.
      const { host } = at(partsOf(fleet, database)['leader']);
      rmSync(processFiles(fleet.dev.data.host(host), database).data, { force: true });
      await prepare(fleet, database);
      const approved = update === undefined ? { approved: APPROVED } : {};
      return { name: database, request: { database, seconds: 5, fork, ...approved } };
    },
  };
}

export const PAUSES: readonly Procedure[] = [
  pausing('for a data file', 'save', () => Promise.resolve()),
  pausing('for a follower', 'follower', async (fleet, database) => {
    const { follower } = partsOf(fleet, database);
    // A history of its own: only all of the data will do.
    await tell(fleet, at(follower), async (redis) => {
      await redis.replicaof('NO', 'ONE');
      await redis.replicaof(BLACK_HOLE.address, BLACK_HOLE.port);
    });
  }),
  pausing('aborted while it waits for approval', 'save', () => Promise.resolve(), 'abort'),
];
