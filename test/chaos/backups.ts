/** Followers are backed up, one database by itself or all on a host. */

import { backupRecordStore } from '../../src/records/backups.js';
import { isVerified } from '../../src/fleet/backup.js';
import { backupsOf } from '../../src/testbed/backups.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import type { Procedure } from './procedure.js';
import { at, partsOf } from './stage.js';

export const BACKUPS: readonly Procedure[] = [
  {
    name: 'backupDatabase',
    type: 'backupDatabase',
    writes: 'meanwhile',
    forksOn: 'follower',
    parts: (fleet, database) => partsOf(fleet, database),
    prepare: (_fleet, database) => Promise.resolve({ name: database, request: { database } }),
    besides: whatIsStored,
  },
  {
    name: 'backupSweep',
    type: 'backupSweep',
    writes: 'meanwhile',
    forksOn: 'follower',
    parts: (fleet, database) => partsOf(fleet, database),
    prepare(fleet, database) {
      const { host } = at(partsOf(fleet, database)['follower']);
      return Promise.resolve({ name: host, request: { host } });
    },
    besides: whatIsStored,
  },
];

/** The newest is verified and on record, and nothing is half there. */
async function whatIsStored(fleet: TestFleet, database: string): Promise<object> {
  const all = await backupsOf(fleet, database);
  const record = await backupRecordStore(fleet.dev.consul, fleet.dev.fleet.name).read(database);
  return {
    some: all.length > 0,
    unverified: all.filter((backup) => !isVerified(backup)).length,
    newestIsOnRecord: record?.id === all[0]?.id,
  };
}
