/** `redis-fleet backups take`: a backup, or a sweep, now. */

import { runningOf } from '../../connections/schedules.js';
import { scheduleId } from '../../fleet/names.js';
import { withConsul, withTemporal } from '../connect.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import type { RunOutcome } from '../runAndFollow.js';

export interface TakeOptions {
  readonly host?: string;
  readonly file?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

/** Exit code 1 when it failed, or when a sweep could not take all. */
export async function takeBackupsCommand(
  context: CliContext,
  database: string | undefined,
  { host, file, detach = false, json = false }: TakeOptions,
): Promise<ExitCode> {
  if ((database === undefined) === (host === undefined)) {
    throw new UsageError(
      'Name a database, or a host with --host: redis-fleet backups take sessions-03. Nothing was backed up.',
    );
  }
  const inFile = await fleetOfFile(context, undefined, file);
  const fleet = await withConsul(context, async (consul) =>
    requireApplied(await readKnownFleet(consul, inFile.name), inFile.name),
  );
  const outcome = await withTemporal(
    context,
    async (client): Promise<RunOutcome | { readonly runs: string }> => {
      const options = { detach, quiet: json };
      if (database !== undefined) {
        const subject = { fleet: fleet.name, databases: [database] };
        const runbook = { type: 'backupDatabase', name: database, request: { database }, subject } as const;
        return runAndFollow(context, client, runbook, options);
      }
      const name = host ?? '';
      // One that the schedule has started has another id.
      const runs = await runningOf(client, scheduleId('backupSweep', name));
      if (runs !== null) return { runs };
      const subject = { fleet: fleet.name, hosts: [name] };
      return runAndFollow(
        context,
        client,
        { type: 'backupSweep', name, request: { host: name }, subject },
        options,
      );
    },
  );
  if ('runs' in outcome) {
    const text = `A sweep of ${host ?? ''} runs already: redis-fleet runbook show ${outcome.runs}`;
    if (json) printJson(context, { workflowId: outcome.runs, wasRunning: true, end: 'left' });
    else printLine(context, text);
    return WELL;
  }
  if (json) printJson(context, outcomeJson(outcome));
  return outcome.exitCode === WELL && !isPartial(outcome) ? WELL : NOT_WELL;
}

function isPartial({ followed }: RunOutcome): boolean {
  if (followed?.how !== 'well') return false;
  const { result } = followed;
  if (typeof result !== 'object' || result === null || !('databases' in result)) return false;
  const { databases } = result;
  return (
    Array.isArray(databases) &&
    databases.some(
      (one: unknown) => typeof one === 'object' && one !== null && Reflect.get(one, 'how') !== 'verified',
    )
  );
}
