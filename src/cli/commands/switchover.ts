/** `redis-fleet switchover DATABASE... | --host H`: followers take over from leaders that are well. */

import { FleetError } from '../../fleet/errors.js';
import { didYouMean } from '../../fleet/nameRule.js';
import type { DatabaseRecord } from '../../fleet/record.js';
import type { SwitchoverRequest } from '../../fleet/requests.js';
import { NOT_WELL, printJson } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import type { SwitchedOver } from '../../workflows/switchover.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';

export interface SwitchoverOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly host?: string;
  readonly expectedLeader?: string;
  readonly dryRun?: boolean;
}

export async function switchoverCommand(
  context: CliContext,
  databases: readonly string[],
  options: SwitchoverOptions,
): Promise<ExitCode> {
  const { json = false, detach = false, host } = options;
  const request = switchoverRequest(databases, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  const { records } = await withConsul(context, (consul) => readKnownFleet(consul, fleet));
  const meant =
    host === undefined
      ? databases.map((database) => recordOf(database, records, fleet))
      : records.filter((record) => record.leader.host === host);
  const subject = {
    fleet,
    servers: unique(meant.map(({ server }) => server)),
    databases: meant.map(({ database }) => database),
    hosts: unique(
      meant.flatMap(({ leader, follower }) => [leader.host, ...(follower ? [follower.host] : [])]),
    ),
  };
  const name = host ?? runbookName(databases);
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(context, client, { type: 'switchover', name, request, subject }, { detach, quiet: json }),
  );
  if (json) printJson(context, outcomeJson(outcome));
  const { followed } = outcome;
  const refused = followed?.how === 'well' && !wouldAll(followed.result as SwitchedOver);
  return refused ? NOT_WELL : outcome.exitCode;
}

/** Of a dry run: whether all of it would be done. */
function wouldAll({ dryRun, plans }: SwitchedOver): boolean {
  return !dryRun || plans.every(({ verdict }) => verdict.may);
}

function switchoverRequest(databases: readonly string[], options: SwitchoverOptions): SwitchoverRequest {
  const { host, expectedLeader, dryRun } = options;
  const [first] = databases;
  if ((first === undefined) === (host === undefined)) {
    throw new UsageError(
      'Name either databases or --host: redis-fleet switchover DATABASE..., or redis-fleet switchover --host HOST. Nothing was done.',
    );
  }
  return {
    ...(host === undefined ? {} : { host }),
    ...(first === undefined ? {} : databases.length === 1 ? { database: first } : { databases }),
    ...(expectedLeader === undefined ? {} : { expectedLeader }),
    ...(dryRun ? { dryRun } : {}),
  };
}

/** Of a list: its first name and how many more, so that an id stays readable. Each database is guarded by its record. */
function runbookName(databases: readonly string[]): string {
  const [first = '', ...others] = databases.toSorted();
  return others.length === 0 ? first : `${first}+${others.length}`;
}

function recordOf(database: string, records: readonly DatabaseRecord[], fleet: string): DatabaseRecord {
  const record = records.find((candidate) => candidate.database === database);
  if (record !== undefined) return record;
  const known = records.map((candidate) => candidate.database);
  const meant = didYouMean(database, known);
  const hint = meant === null ? 'See which there are: redis-fleet status' : `Did you mean ${meant}?`;
  throw new FleetError('NotFound', `Fleet ${fleet} has no record of a database ${database}. ${hint}`);
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
