/** What an agent does besides its activities: it reports, keeps the pulse of its host, and holds the lease. */

import type { FleetConsul } from '../connections/consul.js';
import type { Log } from '../connections/log.js';
import type { LeaseSettings } from '../fleet/lease.js';
import { fleetStore } from '../records/fleet.js';
import { leaseStore } from '../records/leases.js';
import { knownRecords } from './knownRecords.js';
import { leaseClock } from './leaseClock.js';
import { leaderGuard } from './leaderGuard.js';
import { leaseKeeping } from './leaseKeeping.js';
import { fence } from './fence.js';
import { killNow } from './stop.js';
import type { RedisProcesses } from './processes.js';
import { stillRuns } from './procfs.js';
import { pulses as hostPulses } from './pulse.js';
import { hostReporting, type Reporting } from './reporting.js';
import type { HostSettings } from './settings.js';
import { waking } from './waking.js';
import { processWatch } from './watching.js';

export interface HostDuties {
  readonly fleet: string;
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly consul: FleetConsul;
  readonly log: Log;
  /** Of the fleet file; the applied fleet replaces them once it was read. */
  readonly leases: LeaseSettings;
}

export function hostDuties(duties: HostDuties): Reporting {
  const { fleet, settings, processes, consul, log } = duties;
  const { host } = settings;
  let leases = duties.leases;
  const clock = leaseClock();
  const records = knownRecords(consul, fleet);
  const watch = processWatch(settings.credentials, (database) => {
    pulses.ended(database);
    reporting.wake();
  });
  const pulses = hostPulses({
    credentials: settings.credentials,
    clock,
    downAfter: () => leases.downAfter,
    own: watch,
    stillRuns: (database, pid) => stillRuns(pid, processes.files(database)),
    onChange: () => {
      keeping.publish();
      guard.wake();
    },
  });
  const reporting = hostReporting({
    fleet,
    settings,
    processes,
    consul,
    records,
    watch,
    log,
    onLook: (found) => pulses.watchOwn(found),
  });
  const keeping = leaseKeeping({
    host,
    leases: leaseStore(consul, fleet),
    records,
    pulses,
    settings: () => leases,
    fenced: (database) => guard.fenced(database),
    clock,
    log,
    onHeld: () => guard.wake(),
    onAgain: () => records.askAnew(),
  });
  const startedAt = clock();
  const guard = leaderGuard({
    host,
    credentials: settings.credentials,
    // A longer time to live counts from the first renewal that grants it.
    settings: () => ({ ...leases, ttl: Math.min(leases.ttl, keeping.held()?.ttl ?? leases.ttl) }),
    lease: () => keeping.held() ?? { term: 0, sentAt: startedAt, afterBreak: false },
    pulses,
    record: (database) => records.of(database),
    readRecord: (database) => records.read(database),
    watch,
    kill: (database, pid) => killNow(pid, processes.files(database)),
    depose: ({ database, endpoint }, obeyWithinMs) =>
      fence({ settings, processes, database, endpoint, obeyWithinMs }),
    clock,
    log,
  });
  records.onChange(({ records: all }) => {
    guard.recordsChanged();
    pulses.watchLeaders(
      all.flatMap(({ record: { database, epoch, leader, follower, extraFollowers = [] } }) =>
        epoch > 0 && leader.host !== host && [follower, ...extraFollowers].some((one) => one?.host === host)
          ? [{ database, endpoint: leader }]
          : [],
      ),
    );
  });

  async function askForEver(signal: AbortSignal): Promise<void> {
    const round = waking();
    while (!signal.aborted) {
      pulses.ask();
      await round.pause(leases.downAfter / 3, signal);
    }
  }

  return {
    wake: () => reporting.wake(),
    async run(signal) {
      try {
        await Promise.all([
          records.run(signal),
          fleetStore(consul, fleet).watch(({ detection, leases: { ttl } }) => {
            leases = { ttl, downAfter: detection.downAfter };
          }, signal),
          reporting.run(signal),
          keeping.run(signal),
          guard.run(signal),
          askForEver(signal),
        ]);
      } finally {
        pulses.close();
        watch.close();
      }
    },
  };
}
