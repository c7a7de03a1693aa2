/** `redis-fleet move DATABASE --to SERVER | --leader H --follower H`: to other hosts, while it is written to. */

import { FleetError } from '../../fleet/errors.js';
import { didYouMean } from '../../fleet/nameRule.js';
import { parseSize } from '../../fleet/quantities.js';
import type { MoveDatabaseRequest, MoveTarget } from '../../fleet/requests.js';
import { printJson } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { COPY_IN_PAUSE } from '../../workflows/moveOutline.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import { speaker } from '../speaker.js';

export interface MoveOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly to?: string;
  readonly leader?: string;
  readonly follower?: string;
  readonly port?: number;
  readonly bandwidth?: string;
  readonly pauseWrites?: number;
  readonly approvePause?: boolean;
  readonly reason?: string;
  readonly by?: string;
  readonly expectedLeader?: string;
  readonly ask?: boolean;
}

export async function moveCommand(
  context: CliContext,
  database: string,
  options: MoveOptions,
): Promise<ExitCode> {
  const { json = false, detach = false } = options;
  const request = moveRequest(context, database, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  const { records } = await withConsul(context, (consul) => readKnownFleet(consul, fleet));
  const record = records.find((candidate) => candidate.database === database);
  if (record === undefined) {
    const known = records.map((candidate) => candidate.database);
    const meant = didYouMean(database, known);
    const hint = meant === null ? 'See which there are: redis-fleet status' : `Did you mean ${meant}?`;
    throw new FleetError('NotFound', `Fleet ${fleet} has no record of a database ${database}. ${hint}`);
  }
  const subject = {
    fleet,
    servers: [record.server],
    databases: [database],
    hosts: [record.leader.host, ...(record.follower === null ? [] : [record.follower.host])],
  };
  const runbook = { type: 'moveDatabase', name: database, request, subject } as const;
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(context, client, runbook, { detach, quiet: json }),
  );
  if (json) printJson(context, outcomeJson(outcome));
  return outcome.exitCode;
}

function moveRequest(context: CliContext, database: string, options: MoveOptions): MoveDatabaseRequest {
  const { port, bandwidth, pauseWrites, approvePause, reason, by, expectedLeader, ask } = options;
  if (approvePause && reason === undefined) {
    throw new UsageError('--approve-pause needs --reason: why may writes wait? Nothing was done.');
  }
  return {
    database,
    to: targetOf(database, options),
    ...(port === undefined ? {} : { port }),
    ...(bandwidth === undefined ? {} : { bandwidth: bytesOf(bandwidth) }),
    ...(pauseWrites === undefined ? {} : { pauseWrites: { seconds: pauseWrites } }),
    ...(expectedLeader === undefined ? {} : { expectedLeader }),
    ...(ask ? { ask } : {}),
    ...(approvePause && reason !== undefined
      ? { approved: { [COPY_IN_PAUSE.name]: { by: speaker(context, by), reason } } }
      : {}),
  };
}

function targetOf(database: string, { to, leader, follower }: MoveOptions): MoveTarget {
  if (to !== undefined && follower === undefined) {
    return { server: to, ...(leader === undefined ? {} : { leader }) };
  }
  if (to === undefined && leader !== undefined && follower !== undefined) return { leader, follower };
  throw new UsageError(
    `Say where to: redis-fleet move ${database} --to SERVER, or redis-fleet move ${database} --leader HOST --follower HOST. Nothing was done.`,
  );
}

function bytesOf(text: string): number {
  const parsed = parseSize(text);
  if (parsed.ok) return parsed.value;
  throw new UsageError(`--bandwidth: ${parsed.problem}. Nothing was done.`);
}
