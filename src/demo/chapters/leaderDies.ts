/** A leader is killed under load: its follower is promoted by itself, and the dead one comes back as a follower. */

import type { FleetConnection } from '../../client/index.js';
import { startRunbook } from '../../connections/startRunbook.js';
import type { Endpoint } from '../../fleet/record.js';
import type { TestFleet } from '../../testbed/fleet.js';
import { waitFor } from '../../testbed/waiting.js';
import { writingThrough, type ClientView } from '../clientWriter.js';
import type { Progress } from '../progress.js';
import { endsWell } from '../runbooks.js';
import type { BroughtUpFollower } from '../../workflows/bringUpFollower.js';
import { killProcess } from './followerDies.js';

export interface LeaderDied extends ClientView {
  readonly database: string;
  readonly dead: Endpoint;
  readonly promoted: Endpoint;
  /** From the kill until the record named the new leader. Milliseconds. */
  readonly recordChangedMs: number;
  /** Of the new leader, since it leads. */
  readonly forks: number;
  /** How the dead leader's host got its data back. */
  readonly way: string;
}

const PROMOTED_WITHIN_MS = 30_000;

export async function leaderDies(
  fleet: TestFleet,
  connection: FleetConnection,
  database: string,
  progress: Progress,
): Promise<LeaderDied> {
  const dead = await fleet.leader(database);
  const promoted = await fleet.follower(database);
  const backup = await progress.step(`save ${database} on its follower, as the hourly backup does`, () =>
    fleet.save(database, promoted),
  );
  const before = (await fleet.facts(promoted)).totalForks;
  let recordChangedMs = 0;
  const seen = await progress.step(
    `kill the leader of ${database} on ${dead.host} with kill -9, under 1,000 writes a second`,
    () =>
      writingThrough(fleet, connection, database, async () => {
        const killed = performance.now();
        await killProcess(fleet, database, dead);
        await waitFor(async () => (await fleet.leader(database)).host === promoted.host, {
          deadlineMs: PROMOTED_WITHIN_MS,
          what: `the promotion of ${database} on ${promoted.host}`,
          everyMs: 5,
        });
        recordChangedMs = performance.now() - killed;
      }),
  );
  await waitFor(async () => (await fleet.record(database)).operation === undefined, {
    deadlineMs: PROMOTED_WITHIN_MS,
    what: `the end of the promotion of ${database}`,
  });
  const way = await progress.step(
    `bring ${database} up on ${dead.host} again, as a follower, from the backup of before`,
    async () => {
      const request = { database, host: dead.host, backup: { file: backup } };
      const subject = {
        fleet: fleet.dev.fleet.name,
        databases: [database],
        hosts: [dead.host, promoted.host],
      };
      const started = await startRunbook(fleet.dev.temporal, 'bringUpFollower', database, request, subject);
      const { result } = await endsWell(fleet, started, progress);
      return (result as BroughtUpFollower).way;
    },
  );
  const forks = (await fleet.facts(promoted)).totalForks - before;
  return { ...seen, database, dead, promoted, recordChangedMs, forks, way };
}
