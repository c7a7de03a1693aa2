/** A switchover under load: a leader hands over to its follower, and the application hardly notices. */

import type { FleetConnection } from '../../client/index.js';
import { startRunbook } from '../../connections/startRunbook.js';
import type { Endpoint } from '../../fleet/record.js';
import type { TestFleet } from '../../testbed/fleet.js';
import { writingThrough, type ClientView } from '../clientWriter.js';
import type { Progress } from '../progress.js';
import { endsWell } from '../runbooks.js';

export interface PlannedChange extends ClientView {
  readonly database: string;
  readonly from: Endpoint;
  readonly to: Endpoint;
  /** Of both processes, during the switchover. */
  readonly forks: number;
}

export async function plannedChange(
  fleet: TestFleet,
  connection: FleetConnection,
  database: string,
  progress: Progress,
): Promise<PlannedChange> {
  const from = await fleet.leader(database);
  const to = await fleet.follower(database);
  const forks = async (): Promise<number> =>
    (await fleet.facts(from)).totalForks + (await fleet.facts(to)).totalForks;
  const before = await forks();
  const seen = await progress.step(
    `switch ${database} over from ${from.host} to ${to.host}, under 1,000 writes a second`,
    () =>
      writingThrough(fleet, connection, database, async () => {
        const subject = { fleet: fleet.dev.fleet.name, databases: [database], hosts: [from.host, to.host] };
        const request = { database, expectedLeader: from.host };
        const started = await startRunbook(fleet.dev.temporal, 'switchover', database, request, subject);
        await endsWell(fleet, started, progress);
      }),
  );
  return { ...seen, database, from, to, forks: (await forks()) - before };
}
