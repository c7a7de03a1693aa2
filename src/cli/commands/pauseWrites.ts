/** `redis-fleet pause-writes`: lets a leader fork while its writes wait, where no fork fits otherwise. */

import { PAUSE_FORKS } from '../../fleet/pausedFork.js';
import { showSize } from '../../fleet/quantities.js';
import type { PauseWritesRequest } from '../../fleet/requests.js';
import type { PausedWrites } from '../../workflows/pauseWrites.js';
import { PAUSE } from '../../workflows/pauseWritesOutline.js';
import { withConsul, withTemporal } from '../connect.js';
import { printJson, printLine } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import { speaker } from '../speaker.js';

export interface PauseWritesOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly host?: string;
  readonly seconds?: number;
  readonly fork?: string;
  readonly approve?: boolean;
  readonly reason?: string;
  readonly by?: string;
}

export async function pauseWritesCommand(
  context: CliContext,
  database: string | undefined,
  options: PauseWritesOptions,
): Promise<ExitCode> {
  const { json = false, detach = false, host } = options;
  const request = pauseRequest(context, database, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  const known = await withConsul(context, (consul) => readKnownFleet(consul, fleet));
  requireApplied(known, fleet);
  const records = known.records.filter((record) =>
    database === undefined ? record.leader.host === host : record.database === database,
  );
  const subject = {
    fleet,
    servers: [...new Set(records.map(({ server }) => server))],
    databases: database === undefined ? records.map((record) => record.database) : [database],
    hosts: [...new Set(records.map(({ leader }) => leader.host))],
  };
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(
      context,
      client,
      { type: 'pauseWrites', name: database ?? host ?? '', request, subject },
      { detach, quiet: json },
    ),
  );
  if (json) printJson(context, outcomeJson(outcome));
  else if (outcome.followed?.how === 'well') {
    for (const line of lines(outcome.followed.result as PausedWrites)) printLine(context, line);
  }
  return outcome.exitCode;
}

function pauseRequest(
  context: CliContext,
  database: string | undefined,
  { host, seconds, fork, approve, reason, by }: PauseWritesOptions,
): PauseWritesRequest {
  if ((database === undefined) === (host === undefined))
    throw new UsageError(
      'Name a database, or --host for all that it leads: one of the two. Nothing was done.',
    );
  const known = PAUSE_FORKS.find((one) => one === fork);
  if (fork !== undefined && known === undefined)
    throw new UsageError(`--fork ${fork} is not one of ${PAUSE_FORKS.join(', ')}. Nothing was done.`);
  if (approve === true && reason === undefined)
    throw new UsageError('--approve needs --reason: why may writes wait? Nothing was done.');
  return {
    ...(database === undefined ? {} : { database }),
    ...(host === undefined ? {} : { host }),
    ...(seconds === undefined ? {} : { seconds }),
    ...(known === undefined ? {} : { fork: known }),
    ...(approve === true && reason !== undefined
      ? { approved: { [PAUSE.name]: { by: speaker(context, by), reason } } }
      : {}),
  };
}

function lines({ seconds, databases }: PausedWrites): string[] {
  return databases.map(({ database, pausedMs, copyOnWrite }) => {
    const waited = pausedMs === null ? `at most ${seconds} s` : `${pausedMs.toFixed(0)} ms`;
    const copied =
      copyOnWrite === null ? 'nobody forked' : `${showSize(copyOnWrite)} were copied for the fork`;
    return `Writes to ${database} waited for ${waited}; ${copied}.`;
  });
}
