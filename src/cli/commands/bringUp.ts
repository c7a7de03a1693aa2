/** `redis-fleet bring-up DATABASE`: brings up a follower in the way that spares its leader most. */

import { FleetError } from '../../fleet/errors.js';
import { didYouMean } from '../../fleet/nameRule.js';
import { BRING_UP_WAYS } from '../../fleet/requests.js';
import type { BringUpFollowerRequest } from '../../fleet/requests.js';
import { printJson } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { FULL } from '../../workflows/bringUpOutline.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import { speaker } from '../speaker.js';

export interface BringUpOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly host?: string;
  readonly backup?: string;
  readonly way?: string;
  readonly pauseWrites?: number;
  readonly approveFork?: boolean;
  readonly reason?: string;
  readonly by?: string;
}

export async function bringUpCommand(
  context: CliContext,
  database: string,
  options: BringUpOptions,
): Promise<ExitCode> {
  const { json = false, detach = false } = options;
  const request = bringUpRequest(context, database, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  const { records } = await withConsul(context, (consul) => readKnownFleet(consul, fleet));
  const record = records.find((candidate) => candidate.database === database);
  if (record === undefined) {
    const meant = didYouMean(
      database,
      records.map((candidate) => candidate.database),
    );
    const hint = meant === null ? 'See which there are: redis-fleet status' : `Did you mean ${meant}?`;
    throw new FleetError('NotFound', `Fleet ${fleet} has no record of a database ${database}. ${hint}`);
  }
  const hosts = [record.leader.host, options.host ?? record.follower?.host].filter(
    (host) => host !== undefined,
  );
  const subject = { fleet, servers: [record.server], databases: [database], hosts };
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(
      context,
      client,
      { type: 'bringUpFollower', name: database, request, subject },
      { detach, quiet: json },
    ),
  );
  if (json) printJson(context, outcomeJson(outcome));
  return outcome.exitCode;
}

function bringUpRequest(
  context: CliContext,
  database: string,
  options: BringUpOptions,
): BringUpFollowerRequest {
  const { host, backup, way, pauseWrites, approveFork, reason } = options;
  const known = BRING_UP_WAYS.find((candidate) => candidate === way);
  if (way !== undefined && known === undefined) {
    throw new UsageError(`--way ${way} is not one of ${BRING_UP_WAYS.join(', ')}. Nothing was done.`);
  }
  if (approveFork && reason === undefined) {
    throw new UsageError('--approve-fork needs --reason: why may the leader fork? Nothing was done.');
  }
  return {
    database,
    ...(host === undefined ? {} : { host }),
    ...(backup === undefined ? {} : { backup: { file: backup } }),
    ...(known === undefined ? {} : { way: known }),
    ...(pauseWrites === undefined ? {} : { pauseWrites: { seconds: pauseWrites } }),
    ...(approveFork && reason !== undefined
      ? { approved: { [FULL.name]: { by: speaker(context, options.by), reason } } }
      : {}),
  };
}
