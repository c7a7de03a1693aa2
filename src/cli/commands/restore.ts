/** `redis-fleet restore DATABASE`: brings data back from a backup. */

import { showAge } from '../../fleet/quantities.js';
import { showEndpoint } from '../../fleet/record.js';
import type { RestoreDatabaseRequest } from '../../fleet/requests.js';
import { REPLACE } from '../../workflows/restoreOutline.js';
import type { RestoredDatabase } from '../../workflows/restoreResult.js';
import { withConsul, withTemporal } from '../connect.js';
import { printJson, printLine } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import { speaker } from '../speaker.js';

export interface RestoreOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly from?: string;
  readonly asOf?: string;
  readonly into?: string;
  readonly server?: string;
  readonly port?: number;
  readonly host?: string;
  readonly approve?: boolean;
  readonly reason?: string;
  readonly by?: string;
  readonly dryRun?: boolean;
}

export async function restoreCommand(
  context: CliContext,
  database: string,
  options: RestoreOptions,
): Promise<ExitCode> {
  const { json = false, detach = false, into } = options;
  const request = restoreRequest(context, database, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  const known = await withConsul(context, (consul) => readKnownFleet(consul, fleet));
  requireApplied(known, fleet);
  const record = known.records.find((candidate) => candidate.database === database);
  const subject = {
    fleet,
    servers: record === undefined ? [] : [record.server],
    databases: into === undefined ? [database] : [into, database],
    hosts: record === undefined ? [] : [record.leader.host],
  };
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(
      context,
      client,
      { type: 'restoreDatabase', name: into ?? database, request, subject },
      { detach, quiet: json },
    ),
  );
  if (json) printJson(context, outcomeJson(outcome));
  else if (outcome.followed?.how === 'well')
    printLine(context, sentence(outcome.followed.result as RestoredDatabase));
  return outcome.exitCode;
}

function restoreRequest(
  context: CliContext,
  database: string,
  options: RestoreOptions,
): RestoreDatabaseRequest {
  const { from, asOf, into, server, port, host, approve, reason, by, dryRun } = options;
  if (from !== undefined && asOf !== undefined)
    throw new UsageError(
      '--from and --as-of name two different backups: give one of them. Nothing was done.',
    );
  if (asOf !== undefined && Number.isNaN(Date.parse(asOf)))
    throw new UsageError(
      `--as-of ${asOf} is not a time, write one like 2026-01-31T12:00:00Z. Nothing was done.`,
    );
  if (into === undefined && (server !== undefined || port !== undefined))
    throw new UsageError(
      '--server and --port are for a new database: name it with --into. Nothing was done.',
    );
  if (into !== undefined && (host !== undefined || approve === true))
    throw new UsageError(
      '--host and --approve are for a restore in place: leave --into out. Nothing was done.',
    );
  if (approve === true && reason === undefined)
    throw new UsageError('--approve needs --reason: why may the data be replaced? Nothing was done.');
  return {
    database,
    ...(from === undefined ? {} : { from }),
    ...(asOf === undefined ? {} : { from: { asOf: new Date(asOf).toISOString() } }),
    ...(into === undefined
      ? {}
      : {
          into: {
            database: into,
            ...(server === undefined ? {} : { server }),
            ...(port === undefined ? {} : { port }),
          },
        }),
    ...(host === undefined ? {} : { host }),
    ...(dryRun === true ? { dryRun } : {}),
    ...(approve === true && reason !== undefined
      ? { approved: { [REPLACE.name]: { by: speaker(context, by), reason } } }
      : {}),
  };
}

function sentence({ dryRun, database, backup, leader, loss }: RestoredDatabase): string {
  const age = showAge(loss.ageMs);
  return dryRun
    ? `${database} would get the data of backup ${backup}, ${age} old, and be led by ${showEndpoint(leader)}. Nothing was changed.`
    : `${database} has the data of backup ${backup}, which was ${age} old, and is led by ${showEndpoint(leader)}.`;
}
