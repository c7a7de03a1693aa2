/** The Redis processes of one host: found by what the kernel says, started and stopped only when told. */

import { readdir } from 'node:fs/promises';
import type { ProcessSpec } from '../activities/contracts.js';
import { FleetError } from '../fleet/errors.js';
import type { HostProcess } from '../fleet/facts.js';
import { isMissing } from './diskErrors.js';
import { inspectDataFile } from './inspectDataFile.js';
import { readLastWords } from './lastWords.js';
import {
  listDatabases,
  makeDirectory,
  processFiles,
  readDescription,
  removeDirectory,
  type ProcessDescription,
  type ProcessFiles,
} from './layout.js';
import { requireFreePort } from './port.js';
import { findRedis, residentMemory, runningRedis, type RunningRedis } from './procfs.js';
import { endpointOf, type HostSettings } from './settings.js';
import { awaitAnswer, launch } from './start.js';
import { shutDown } from './stop.js';
import { writeConfiguration } from './configuration.js';

export interface RedisProcesses {
  files(database: string): ProcessFiles;
  /** null: nothing was ever started there. @throws InvalidRequest when the directory is another database's */
  find(database: string): Promise<HostProcess | null>;
  /** Every process of this host; a directory that is not what it must be goes to `onTrouble` instead. */
  list(onTrouble?: (database: string, error: unknown) => void): Promise<readonly HostProcess[]>;
  start(input: {
    process: ProcessSpec;
    allowEmpty: boolean;
    signal?: AbortSignal | undefined;
  }): Promise<{ started: boolean; pid: number }>;
  stop(input: {
    database: string;
    save: boolean;
    signal?: AbortSignal | undefined;
  }): Promise<{ stopped: boolean }>;
  /** @throws InvalidRequest while the process runs */
  remove(database: string): Promise<void>;
  /** @throws InvalidRequest while the process runs */
  requireStopped(database: string, why: string): void;
  /** The process's directory, which must be its own. @throws InvalidRequest */
  ownFiles(database: string): Promise<ProcessFiles>;
}

export function redisProcesses(settings: HostSettings): RedisProcesses {
  const files = (database: string): ProcessFiles => processFiles(settings.data, database);

  /** @throws InvalidRequest when the directory is another database's, or another host's */
  async function describe(at: ProcessFiles): Promise<ProcessDescription | null> {
    const description = await readDescription(at);
    if (description === null || description.host === settings.host) return description;
    throw new FleetError(
      'InvalidRequest',
      `${at.directory} belongs to the host ${description.host}, and this is the agent of ${settings.host}. Nothing was ` +
        `changed. Give each agent of a machine its own --data directory.`,
    );
  }

  async function find(database: string, running?: RunningRedis): Promise<HostProcess | null> {
    const at = files(database);
    const description = await describe(at);
    if (description === null) return null;
    const pid = findRedis(at, running);
    const endpoint = {
      host: settings.host,
      address: description.address,
      port: description.process.port,
    };
    if (pid !== null) {
      const memory = residentMemory(pid);
      return { database, endpoint, state: 'running', pid, residentMemory: memory, lastWords: null };
    }
    const lastWords = await readLastWords(at.log);
    return {
      database,
      endpoint,
      state: 'stopped',
      pid: null,
      residentMemory: null,
      lastWords: lastWords === '' ? null : lastWords,
    };
  }

  function requireStopped(database: string, why: string): void {
    const pid = findRedis(files(database));
    if (pid === null) return;
    throw new FleetError(
      'InvalidRequest',
      `${database} runs on ${settings.host} (pid ${pid}), so ${why} is refused. Nothing was changed. Stop it first.`,
    );
  }

  return {
    files,
    find: (database) => find(database),
    requireStopped,

    async ownFiles(database) {
      const at = files(database);
      await describe(at);
      return at;
    },

    async list(onTrouble) {
      const found: HostProcess[] = [];
      const running = runningRedis();
      for (const database of await listDatabases(settings.data)) {
        try {
          const process = await find(database, running);
          if (process !== null) found.push(process);
        } catch (error) {
          onTrouble?.(database, error);
        }
      }
      return found;
    },

    async start({ process, allowEmpty, signal }) {
      const { database } = process;
      const at = files(database);
      const wanted: ProcessDescription = { host: settings.host, address: settings.address, process };
      const endpoint = endpointOf(settings, process.port);
      const description = await describe(at);
      const running = findRedis(at);
      if (running !== null) {
        requireSame(description, wanted, running);
        await awaitAnswer(settings, at, endpoint, { pid: running, signal });
        return { started: false, pid: running };
      }
      await requireGoodDataFile(at, settings.host, allowEmpty);
      await requireFreePort(endpoint, database);
      await makeDirectory(at);
      await writeConfiguration(settings, at, wanted);
      const pid = await launch(settings, at, endpoint, signal);
      return { started: true, pid };
    },

    async stop({ database, save, signal }) {
      const at = files(database);
      const description = await describe(at);
      const pid = findRedis(at);
      if (pid === null) return { stopped: false };
      if (description === null) {
        throw new FleetError(
          'InvalidRequest',
          `A Redis process (pid ${pid}) runs in ${at.directory}, but no process.json says that it is ours. ` +
            `It was left alone. Look at it, and stop it by hand if it may be stopped.`,
        );
      }
      await shutDown(settings, at, { pid, port: description.process.port, save, signal });
      return { stopped: true };
    },

    async remove(database) {
      requireStopped(database, 'removing its directory');
      const at = files(database);
      // Throws when the directory is another database's; one that was never described may only hold our own files.
      if ((await describe(at)) === null) await requireOwnFiles(at);
      await removeDirectory(at);
    },
  };
}

/** @throws InvalidRequest: a running process is never changed behind its users' backs */
function requireSame(description: ProcessDescription | null, wanted: ProcessDescription, pid: number): void {
  const show = ({ address, process }: ProcessDescription): string =>
    `${address}:${process.port}, maxmemory ${process.maxmemory}, backlog ${process.backlogBytes}`;
  if (description !== null && show(description) === show(wanted)) return;
  throw new FleetError(
    'InvalidRequest',
    `${wanted.process.database} already runs on ${wanted.host} (pid ${pid}) with ` +
      `${description === null ? 'an unknown configuration' : show(description)}, not with ${show(wanted)} as asked. ` +
      `It was left alone. Stop it first, or ask for what it runs with.`,
  );
}

async function requireGoodDataFile(files: ProcessFiles, host: string, allowEmpty: boolean): Promise<void> {
  const found = await inspectDataFile(files.data).catch((error: unknown) => {
    if (error instanceof FleetError && error.kind === 'NotFound') return null;
    throw error;
  });
  if (found !== null || allowEmpty) return;
  throw new FleetError(
    'BadDataFile',
    `${files.database} has no data file on ${host} (${files.data}) and was not started: empty, it could wipe ` +
      `whoever follows it. Put a backup in its place, or bring it up as a follower ` +
      `(redis-fleet bring-up ${files.database}).`,
  );
}

const OWN_FILES =
  /^(redis\.(conf|log|pid)|users\.acl|process\.json|placement\.json|backup\.json|dump\.rdb.*|temp-.*\.rdb)(\.new)?$/;

async function requireOwnFiles(files: ProcessFiles): Promise<void> {
  let names: string[];
  try {
    names = await readdir(files.directory);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  const foreign = names.filter((name) => !OWN_FILES.test(name));
  if (foreign.length === 0) return;
  throw new FleetError(
    'InvalidRequest',
    `${files.directory} holds files that redis-fleet did not write (${foreign.slice(0, 3).join(', ')}) and no ` +
      `process.json. It was not removed. Look at it, and remove it by hand.`,
  );
}
