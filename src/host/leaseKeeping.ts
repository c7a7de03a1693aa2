/** Keeps a host's lease: renews it in time, and at once when the pulse of a process changed. */

import { randomUUID } from 'node:crypto';
import type { Log } from '../connections/log.js';
import { FleetError } from '../fleet/errors.js';
import { leaseTimes, type HostLease, type LeaseSettings, type ProcessPulse } from '../fleet/lease.js';
import type { DatabaseRecord } from '../fleet/record.js';
import type { LeaseStore } from '../records/leases.js';
import type { KnownRecords } from './knownRecords.js';
import type { Clock } from './leaseClock.js';
import { leaseHolder, type Held, type LeaseContent } from './leaseHolder.js';
import type { Pulses } from './pulse.js';
import { linkOf, positionOf, type Sight } from './sight.js';
import { sayOnce } from './sayOnce.js';
import { waking } from './waking.js';

/** What happens together is said together. */
const GATHER_MS = 2;

export interface LeaseKeeping {
  held(): Held | null;
  /** The pulse changed: renew now. */
  publish(): void;
  /** Runs until `signal` aborts, and leaves the lease in good order then. */
  run(signal: AbortSignal): Promise<void>;
}

export interface LeaseKeepingDependencies {
  readonly host: string;
  readonly leases: LeaseStore;
  readonly records: KnownRecords;
  readonly pulses: Pulses;
  readonly settings: () => LeaseSettings;
  /** Why a process takes no writes by our doing; null: it is not fenced. */
  readonly fenced: (database: string) => string | null;
  readonly clock: Clock;
  readonly log: Log;
  /** The lease was confirmed. */
  readonly onHeld: () => void;
  /** It was, after it could not be for a while. */
  readonly onAgain: () => void;
}

export function leaseKeeping(dependencies: LeaseKeepingDependencies): LeaseKeeping {
  const { host, leases, records, pulses, settings, clock, log } = dependencies;
  const trouble = sayOnce(log);
  const times = () => leaseTimes(settings());
  const holder = leaseHolder({
    host,
    agent: randomUUID(),
    leases,
    clock,
    timeoutMs: () => times().requestWithin,
    onTaken: (term, from) => log.info(takenBecause(host, term, from)),
  });
  const pulseChanged = waking();
  let failing = false;

  function content(): LeaseContent {
    const processes = pulses.own().flatMap((sight): [string, ProcessPulse][] => {
      const { database, pulse } = sight;
      const fenced = dependencies.fenced(database);
      return pulse === null ? [] : [[database, describe(sight, pulse, records.of(database), fenced)]];
    });
    const leaders = pulses
      .leaders()
      .flatMap(({ database, pulse }) => (pulse ? [[database, pulse] as const] : []));
    return {
      ttl: settings().ttl,
      processes: Object.fromEntries(processes),
      leaders: Object.fromEntries(leaders),
    };
  }

  async function renew(): Promise<boolean> {
    try {
      await holder.renew(content);
      if (failing) dependencies.onAgain();
      failing = false;
      trouble.ends('lease', `The lease of ${host} is renewed again.`);
      dependencies.onHeld();
      return true;
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      failing = true;
      trouble.begins('lease', `The lease of ${host} cannot be renewed: ${error.message}`);
      return false;
    }
  }

  return {
    held: () => holder.held(),
    publish() {
      pulseChanged.wake();
    },
    async run(signal) {
      const stopped = (): boolean => signal.aborted;
      while (!stopped()) {
        const since = clock();
        const done = await renew();
        const { renewEvery, retryEvery } = times();
        // An outage is not hammered with changes.
        if (!done) await waking().pause(since + retryEvery - clock(), signal);
        else if (await pulseChanged.pause(since + renewEvery - clock(), signal))
          await waking().pause(GATHER_MS, signal);
      }
      await holder.leave(content).catch((error: unknown) => {
        if (!(error instanceof FleetError)) throw error;
        log.warn(`Nobody could be told that the agent of ${host} leaves: ${error.message}`);
      });
    },
  };
}

function describe(
  { replication, runId, endpoint }: Sight,
  pulse: NonNullable<Sight['pulse']>,
  record: DatabaseRecord | null,
  fenced: string | null,
): ProcessPulse {
  const byRecord = record?.leader.host === endpoint.host ? 'leader' : 'follower';
  return {
    role: replication?.role ?? byRecord,
    pulse,
    runId,
    position: positionOf(replication),
    link: linkOf(replication),
    fenced,
  };
}

function takenBecause(host: string, term: number, from: HostLease | null): string {
  const taken = `Took the lease of ${host}, term ${term}`;
  if (from === null) return `${taken}: there was none.`;
  if (from.broken) return `${taken}: ${from.broken.by} had broken the last one (${from.broken.why}).`;
  return `${taken}: ${from.left ? 'the agent before had left in good order' : 'another run of the agent held it'}.`;
}
