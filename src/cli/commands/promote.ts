/** `redis-fleet promote DATABASE... | --host H | --zone Z`: followers lead instead of leaders that have failed. */

import { FleetError } from '../../fleet/errors.js';
import { didYouMean } from '../../fleet/nameRule.js';
import type { Fleet } from '../../fleet/fleet.js';
import type { PromotionOutcome } from '../../fleet/promotion.js';
import { showSize } from '../../fleet/quantities.js';
import type { DatabaseRecord } from '../../fleet/record.js';
import type { PromoteFollowerRequest } from '../../fleet/requests.js';
import type { PromotedFollowers } from '../../workflows/promoteFollower.js';
import { NOT_WELL, printJson, printLine } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { UsageError } from '../failures.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import type { RunOutcome } from '../runAndFollow.js';

export interface PromoteOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly host?: string;
  readonly zone?: string;
  readonly allowDataLoss?: readonly string[];
  readonly expectedLeader?: string;
  readonly dryRun?: boolean;
}

export async function promoteCommand(
  context: CliContext,
  databases: readonly string[],
  options: PromoteOptions,
): Promise<ExitCode> {
  const { json = false, detach = false, host, zone } = options;
  const request = promoteRequest(databases, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  const known = await withConsul(context, (consul) => readKnownFleet(consul, fleet));
  const meant = meantBy(request, known.records, requireApplied(known, fleet));
  const subject = {
    fleet,
    servers: unique(meant.map(({ server }) => server)),
    databases: meant.map(({ database }) => database),
    hosts: unique(
      meant.flatMap(({ leader, follower }) => [leader.host, ...(follower ? [follower.host] : [])]),
    ),
  };
  const name = host ?? zone ?? runbookName(databases);
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(
      context,
      client,
      { type: 'promoteFollower', name, request, subject },
      { detach, quiet: json },
    ),
  );
  if (json) printJson(context, outcomeJson(outcome));
  const promoted = resultOf(outcome);
  if (promoted?.dryRun === true && !json) {
    for (const one of promoted.outcomes) printLine(context, planned(one));
  }
  // One that was refused among several is not well, although the runbook is.
  const refused = promoted?.outcomes.some((one) => one.outcome === 'refused') === true;
  return refused ? NOT_WELL : outcome.exitCode;
}

function promoteRequest(databases: readonly string[], options: PromoteOptions): PromoteFollowerRequest {
  const { host, zone, expectedLeader, dryRun, allowDataLoss = [] } = options;
  const [first] = databases;
  if ([first, host, zone].filter((given) => given !== undefined).length !== 1) {
    throw new UsageError(
      'Name either databases, --host or --zone: redis-fleet promote DATABASE..., redis-fleet promote --host HOST, or ' +
        'redis-fleet promote --zone ZONE. Nothing was done.',
    );
  }
  return {
    ...(host === undefined ? {} : { host }),
    ...(zone === undefined ? {} : { zone }),
    ...(first === undefined ? {} : databases.length === 1 ? { database: first } : { databases }),
    ...(allowDataLoss.length === 0 ? {} : { allowDataLoss }),
    ...(expectedLeader === undefined ? {} : { expectedLeader }),
    ...(dryRun ? { dryRun } : {}),
  };
}

/** For the lists of Temporal's UI; the runbook looks for itself. @throws NotFound */
function meantBy(
  { database, databases, host, zone }: PromoteFollowerRequest,
  records: readonly DatabaseRecord[],
  fleet: Fleet,
): readonly DatabaseRecord[] {
  const names = databases ?? (database === undefined ? null : [database]);
  if (names !== null) return names.map((name) => recordOf(name, records, fleet.name));
  const hosts = fleet.servers.flatMap((server) => server.hosts);
  const chosen = hosts.filter((one) => (host === undefined ? one.zone === zone : one.name === host));
  return records.filter(({ leader }) => chosen.some((one) => one.name === leader.host));
}

function recordOf(database: string, records: readonly DatabaseRecord[], fleet: string): DatabaseRecord {
  const record = records.find((candidate) => candidate.database === database);
  if (record !== undefined) return record;
  const meant = didYouMean(
    database,
    records.map((candidate) => candidate.database),
  );
  const hint = meant === null ? 'See which there are: redis-fleet status' : `Did you mean ${meant}?`;
  throw new FleetError('NotFound', `Fleet ${fleet} has no record of a database ${database}. ${hint}`);
}

/** Of a list: its first name and how many more, so that an id stays readable. Each database is guarded by its record. */
function runbookName(databases: readonly string[]): string {
  const [first = '', ...others] = databases.toSorted();
  return others.length === 0 ? first : `${first}+${others.length}`;
}

function resultOf({ followed }: RunOutcome): PromotedFollowers | null {
  return followed?.how === 'well' ? (followed.result as PromotedFollowers) : null;
}

function planned(one: PromotionOutcome): string {
  if (one.outcome !== 'would be promoted')
    return one.outcome === 'refused' ? one.why : `${one.database}: done`;
  const behind =
    one.behindBytes === 0 ? 'nothing known to be missing' : `${showSize(one.behindBytes)} behind`;
  const asks = one.approvals.length === 0 ? '' : `; it would ask first: ${one.approvals.join(', ')}`;
  return `${one.database}: ${one.to.host} would lead instead of ${one.from.host}, ${behind}${asks}. Nothing was changed.`;
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
