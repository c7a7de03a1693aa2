/** What runs beside Redis: starting, stopping and seeding the processes of one host. */

import type { BackupAccess } from '../backups/access.js';
import { FleetError } from '../fleet/errors.js';
import type { DataFile } from '../fleet/facts.js';
import { checkHost } from '../host/checkHost.js';
import { drill } from '../host/drill.js';
import { fence } from '../host/fence.js';
import {
  forgetPrevious,
  placeCopy,
  placeEmpty,
  restorePrevious,
  setAside,
  settleLeftover,
} from '../host/dataFiles.js';
import { exclusiveByDatabase } from '../host/exclusive.js';
import { fetchedBackups } from '../host/fetchedBackups.js';
import { inspectDataFile } from '../host/inspectDataFile.js';
import { pacedLink } from '../host/pacedLink.js';
import { leadFromFile } from '../host/leadFromFile.js';
import type { ProcessFiles } from '../host/layout.js';
import type { RedisProcesses } from '../host/processes.js';
import { hostMemory } from '../host/hostMemory.js';
import type { HostSettings } from '../host/settings.js';
import type { ProcessActivities } from './contracts.js';

export interface HostActivityDependencies {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly backups: BackupAccess;
  /** The program. */
  readonly redisCheckRdb: string;
  /** The running activity's cancellation. */
  readonly currentSignal?: () => AbortSignal | undefined;
  /** The run id of the workflow that asks. */
  readonly currentRun?: () => string;
  /** Called after a process was started, stopped or removed. */
  readonly onChange?: (database: string) => void;
}

export function hostActivities(dependencies: HostActivityDependencies): ProcessActivities {
  const { settings, processes } = dependencies;
  const exclusive = exclusiveByDatabase();
  const fetched = fetchedBackups(settings.data, dependencies.backups, dependencies.redisCheckRdb);
  const fetching = exclusiveByDatabase();
  const signal = (): AbortSignal | undefined => dependencies.currentSignal?.();
  const run = (): string => dependencies.currentRun?.() ?? 'nobody';

  async function changing<T>(database: string, change: () => Promise<T>): Promise<T> {
    return exclusive(database, async () => {
      try {
        return await change();
      } finally {
        dependencies.onChange?.(database);
      }
    });
  }

  /** For changes to the data file of a process that must not run, in a directory that must be its own. */
  async function withStopped<T>(
    database: string,
    why: string,
    change: (files: ProcessFiles, run: string) => Promise<T>,
  ): Promise<T> {
    const asking = run();
    return exclusive(database, async () => {
      const files = await processes.ownFiles(database);
      processes.requireStopped(database, why);
      await settleLeftover(files, asking);
      return change(files, asking);
    });
  }

  return {
    hostMemory: async () => hostMemory(settings, await processes.list()),

    hostProcess: ({ database }) => processes.find(database),

    checkHost: ({ processes: wanted }) => checkHost(settings, processes, wanted),

    startProcess: ({ process, allowEmpty }) =>
      changing(process.database, () => processes.start({ process, allowEmpty, signal: signal() })),

    stopProcess: ({ database, save }) =>
      changing(database, () => processes.stop({ database, save, signal: signal() })),

    // Never waits for whatever else is done to that process.
    fenceProcess: ({ database, endpoint, obeyWithinMs }) =>
      fence({ settings, processes, database, endpoint, obeyWithinMs }),

    removeProcess: ({ database }) => changing(database, () => processes.remove(database)),

    async readDataFile({ database }) {
      const files = processes.files(database);
      const asking = run();
      return exclusive(database, async () => {
        if ((await processes.find(database))?.state !== 'running') await settleLeftover(files, asking);
        return inspectDataFile(files.data).catch(nullWhenMissing);
      });
    },

    readBackupFile: ({ file }) => inspectDataFile(file),

    placeBackup({ database, file }) {
      const stop = signal();
      return withStopped(database, 'replacing its data file', (files, asking) =>
        placeCopy(files, asking, file, stop),
      );
    },

    placeSeed: ({ database, position }) =>
      withStopped(database, 'replacing its data file', (files, asking) =>
        placeEmpty(files, asking, position),
      ),

    setDataFileAside: ({ database }) => withStopped(database, 'moving its data file aside', setAside),

    restoreDataFile: ({ database }) => withStopped(database, 'restoring its data file', restorePrevious),

    forgetPreviousDataFile: ({ database }) =>
      exclusive(database, () => forgetPrevious(processes.files(database))),

    listBackups: (of) => fetched.list(of),

    verifiedBackups: ({ most, ...of }) => fetched.verified(of, most),

    fetchBackup(input) {
      const stop = signal();
      return fetching(input.into, () => fetched.fetch(input, stop));
    },

    discardFetched: ({ into }) => fetching(into, () => fetched.discard(into)),

    drillHere(input) {
      const stop = signal();
      return fetching('.drill', () =>
        drill({ settings, processes, access: dependencies.backups }, input, stop),
      );
    },

    followPaced: (copy) => pacedLink(settings, copy, signal()),

    async leadFromFile({ leader, position }) {
      const { runId, totalForks } = await leadFromFile(settings, leader, position);
      return { endpoint: leader, runId, totalForks };
    },
  };
}

function nullWhenMissing(error: unknown): DataFile | null {
  if (error instanceof FleetError && error.kind === 'NotFound') return null;
  throw error;
}
