/** What an agent tells the others, whatever Temporal does: its host's report, and its processes in the catalog. */

import type { FleetConsul } from '../connections/consul.js';
import type { Log } from '../connections/log.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { HostProcess, HostReport } from '../fleet/facts.js';
import { deregisterProcess, listOwn, registerProcess } from '../records/catalog.js';
import type { RecordList } from '../records/databases.js';
import { memoryStore } from '../records/memory.js';
import { reportStore } from '../records/reports.js';
import type { RedisProcesses } from './processes.js';
import { catalogChanges } from './registrations.js';
import type { KnownRecords } from './knownRecords.js';
import { roleKeeping } from './roleKeeping.js';
import { lookAtMemory } from './hostMemory.js';
import { memoryKeeping } from './memoryKeeping.js';
import { readDiskAvailable } from './resources.js';
import type { HostSettings } from './settings.js';
import { sayOnce } from './sayOnce.js';
import { waking } from './waking.js';
import type { ProcessWatch } from './watching.js';

const REPORT_EVERY_MS = 5_000;
/**
 * Several changes at once are handled as one, and after what cannot wait: the pulse and the roles in the catalog are told
 * by others, and somebody may be promoting followers on these cores now.
 */
const COALESCE_MS = 500;

export interface Reporting {
  /** Something changed: look now. */
  wake(): void;
  /** Runs until `signal` aborts. An outage of Consul is waited out. */
  run(signal: AbortSignal): Promise<void>;
}

export interface ReportingDependencies {
  readonly fleet: string;
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly consul: FleetConsul;
  readonly records: KnownRecords;
  /** Shared with the pulse. */
  readonly watch: ProcessWatch;
  readonly log: Log;
  /** Told of every look at the host's processes. */
  readonly onLook?: (found: readonly HostProcess[]) => void;
}

export function hostReporting(dependencies: ReportingDependencies): Reporting {
  const { fleet, settings, processes, consul, watch, log } = dependencies;
  const { host } = settings;
  const trouble = sayOnce(log);
  const reports = reportStore(consul, fleet);
  const remembered = memoryKeeping(host, memoryStore(consul, fleet));
  const change = waking();
  const roles = roleKeeping({
    fleet,
    host,
    consul,
    onProblem: (problem) => trouble.begins('consul', problem),
  });
  const wake = (): void => change.wake();

  async function look(): Promise<readonly HostProcess[]> {
    const found = await processes.list((database, error) =>
      trouble.begins(`directory ${database}`, messageOf(error)),
    );
    for (const { database, state, lastWords } of found) {
      const key = `process ${database}`;
      if (state === 'running') trouble.ends(key, `${database} runs on ${host}.`);
      else
        trouble.begins(
          key,
          `${database} does not run on ${host}, and is not restarted. ${lastWords ?? ''}`.trim(),
        );
    }
    dependencies.onLook?.(found);
    return found;
  }

  async function keepCatalog(found: readonly HostProcess[]): Promise<void> {
    // First: registered before the old leader is not one any more, the new one would be the second.
    roles.makeSure();
    await roles.settled();
    const records = dependencies.records.list();
    // Until the records were seen once, nothing is known to be wrong.
    if (records === null) return;
    const registered = await listOwn(consul, { fleet, host });
    const changes = catalogChanges({
      fleet,
      records: records.records.map(({ record }) => record),
      unknown: new Set(records.invalid.map(({ database }) => database)),
      processes: found,
      registered,
    });
    for (const registration of changes.deregister) await deregisterProcess(consul, registration);
    for (const registration of changes.register) {
      // A change meanwhile was made in the catalog at once: what was decided before it would undo that.
      const now = dependencies.records.of(registration.database);
      if (now?.epoch === registration.epoch) await registerProcess(consul, registration);
    }
  }

  async function report(found: readonly HostProcess[]): Promise<HostReport> {
    const withFacts = await Promise.all(
      found.map(async (process) => {
        const answer = await watch.facts(process);
        const key = `answer ${process.database}`;
        if (answer.facts !== null) trouble.ends(key, `${process.database} answers again on ${host}.`);
        else if (process.state === 'running') trouble.begins(key, answer.why);
        return { ...process, facts: answer.facts };
      }),
    );
    return {
      host,
      at: new Date().toISOString(),
      ...(await lookAtMemory(settings, found)),
      diskAvailable: await readDiskAvailable(settings.data),
      processes: withFacts,
    };
  }

  /** Consul may be away, and the rest goes on. */
  async function withConsul(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      trouble.ends('consul', `Consul at ${consul.address} answers again.`);
    } catch (error) {
      if (!(error instanceof FleetError)) throw error;
      trouble.begins('consul', `${error.message} Redis serves on; the agent tries again, silently.`);
    }
  }

  async function round(): Promise<void> {
    const found = await look();
    // Who leads where comes first: clients wait for that.
    await withConsul(() => keepCatalog(found));
    const current = await report(found);
    await withConsul(() => reports.publish(current));
    await withConsul(() => remembered.note(current));
  }

  async function rounds(signal: AbortSignal): Promise<void> {
    const stopped = (): boolean => signal.aborted;
    while (!stopped()) {
      try {
        await round();
        trouble.ends('round', 'The report can be made again.');
      } catch (error) {
        // Nothing that befalls a report may end the agent.
        trouble.begins('round', `The report of ${host} could not be made: ${messageOf(error)}`);
      }
      const woken = await change.pause(REPORT_EVERY_MS, signal);
      if (woken) await waking().pause(COALESCE_MS, signal);
    }
  }

  function onRecords(list: RecordList): void {
    roles.follow(list);
    for (const { database, problem } of list.invalid) trouble.begins(`record ${database}`, problem.message);
    for (const { record } of list.records)
      trouble.ends(`record ${record.database}`, 'Its record is readable again.');
    wake();
  }

  return {
    wake,
    async run(signal) {
      dependencies.records.onChange(onRecords);
      dependencies.records.onProblem((problem) =>
        trouble.begins('consul', `${problem.message} Redis serves on; the agent tries again, silently.`),
      );
      await rounds(signal);
    },
  };
}
