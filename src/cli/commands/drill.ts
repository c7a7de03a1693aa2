/** `redis-fleet backups drill [DATABASE]`: tries backups out. */

import type { DrillBackupsRequest } from '../../fleet/requests.js';
import type { DrilledBackups } from '../../workflows/drillBackups.js';
import { withTemporal } from '../connect.js';
import { NOT_WELL, printJson, printLine } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { fleetOfFile } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';

export interface DrillOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly host?: string;
}

export async function drillCommand(
  context: CliContext,
  database: string | undefined,
  { json = false, detach = false, host, file }: DrillOptions,
): Promise<ExitCode> {
  const request: DrillBackupsRequest = {
    ...(database === undefined ? {} : { database }),
    ...(host === undefined ? {} : { host }),
  };
  const { name: fleet } = await fleetOfFile(context, undefined, file);
  const subject = { fleet, databases: database === undefined ? [] : [database] };
  const name = database ?? host ?? 'due';
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(context, client, { type: 'drillBackups', name, request, subject }, { detach, quiet: json }),
  );
  if (json) printJson(context, outcomeJson(outcome));
  if (outcome.followed?.how !== 'well') return outcome.exitCode;
  const { outcomes, failed } = outcome.followed.result as DrilledBackups;
  if (!json && outcomes.length === 0) printLine(context, 'No drill is due.');
  // One that was asked for and not done is not well either.
  const left = outcomes.filter(({ how }) => how === 'left').length;
  const undone = database !== undefined && outcomes.every(({ how }) => how === 'left');
  return failed > 0 || left > 0 || undone ? NOT_WELL : outcome.exitCode;
}
