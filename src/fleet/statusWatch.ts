/** What status and check say of watches and maintenance. Pure. */

import { maintenanceOf, maintenanceText } from './maintenance.js';
import type { DatabaseRecord } from './record.js';
import type { StatusInput } from './statusView.js';
import { unwatched } from './watchView.js';

/** Of servers that lead something: a failure there would go unnoticed. */
export function watchProblems({ fleet, records, watches, now }: StatusInput): string[] {
  return fleet.servers.flatMap(({ name, hosts }) => {
    const leads = records.some(
      ({ epoch, leader }) => epoch > 0 && hosts.some((host) => host.name === leader.host),
    );
    const problem = leads ? unwatched(name, watches, now) : null;
    return problem === null ? [] : [problem];
  });
}

/** A clause on what keeps a database from being promoted automatically; null: nothing does. */
export function maintained({ maintenance, now }: StatusInput, record: DatabaseRecord | null): string | null {
  const found = record === null ? null : maintenanceOf(record, maintenance, now);
  return found === null ? null : maintenanceText(found);
}
