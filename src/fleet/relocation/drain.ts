/** Moves everything off a host. Pure but for the world. */

import type { PlannedMove } from './plan.js';
import { wantedOf } from './relieve.js';
import { placeAll } from './targets.js';
import { timeAll } from './timetable.js';
import { leave, leavers, staysBecause } from './world.js';
import type { World } from './world.js';

export interface Drained {
  readonly moves: readonly PlannedMove[];
  /** A sentence for each database that stays. */
  readonly stays: readonly { readonly database: string; readonly why: string }[];
}

/** All that can be moved is: what cannot is named. */
export function drain(world: World, host: string): Drained {
  const gone = leavers(world, host);
  const moves: PlannedMove[] = [];
  const stays: { database: string; why: string }[] = [];
  const residents = (world.hosts.get(host)?.outlook.residents ?? [])
    .filter(({ database }) => !gone.has(database.name))
    // The largest find a place while there is most room.
    .toSorted((a, b) => b.database.usedMemory - a.database.usedMemory);
  for (const resident of residents) {
    const { database } = resident;
    const why = staysBecause(world, database);
    if (why !== null) {
      stays.push({ database: database.name, why: `${why}.` });
      continue;
    }
    const places = placeAll(world, [resident]);
    if (places === null) {
      stays.push({ database: database.name, why: `No server has room for ${database.name}.` });
      continue;
    }
    const timed = timeAll(world, wantedOf(world, [resident], places, [host]), new Set());
    if (timed !== null) {
      moves.push(...timed);
      continue;
    }
    for (const [name, to] of places) leave(world, name, to);
    const follower = database.follower?.host ?? '';
    stays.push({
      database: database.name,
      why: `A fork of ${database.name} does not fit on host ${follower}, where its copy would be made.`,
    });
  }
  return { moves, stays };
}
