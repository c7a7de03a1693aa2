/** `redis-fleet why DATABASE`: how its leader is by all who look at it, and why the watch acts or does not. */

import { FleetError, messageOf } from '../../fleet/errors.js';
import type { Fleet } from '../../fleet/fleet.js';
import { maintenanceOf } from '../../fleet/maintenance.js';
import { didYouMean } from '../../fleet/nameRule.js';
import { workflowId } from '../../fleet/names.js';
import type { DatabaseRecord } from '../../fleet/record.js';
import { unwatched, type WatchView } from '../../fleet/watchView.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { fleetOfFile } from '../fleetInput.js';
import { whyText, type WhyAnswer } from '../whyText.js';

export interface WhyOptions {
  readonly file?: string;
  readonly json?: boolean;
}

export async function whyCommand(
  context: CliContext,
  database: string,
  options: WhyOptions,
): Promise<ExitCode> {
  const file = await fleetOfFile(context, undefined, options.file);
  const answer = await answered(context, file, database);
  if (options.json) printJson(context, answer);
  else printLine(context, whyText(answer));
  return answer.well ? WELL : NOT_WELL;
}

async function answered(context: CliContext, file: Fleet, database: string): Promise<WhyAnswer> {
  try {
    return await fromConsul(context, file, database);
  } catch (error) {
    if (!(error instanceof FleetError) || error.kind !== 'Unreachable') throw error;
    return await withoutConsul(context, file, database, error);
  }
}

async function fromConsul(context: CliContext, file: Fleet, database: string): Promise<WhyAnswer> {
  return await withConsul(context, async (consul) => {
    const [{ fleetStore }, { recordStore }, { maintenanceStore }, { watchStore }] = await Promise.all([
      import('../../records/fleet.js'),
      import('../../records/databases.js'),
      import('../../records/maintenance.js'),
      import('../../records/watches.js'),
    ]);
    const [applied, stored, all] = await Promise.all([
      fleetStore(consul, file.name).read(),
      recordStore(consul, file.name).read(database),
      maintenanceStore(consul, file.name).list(),
    ]);
    const fleet = applied?.fleet ?? file;
    if (stored === null) throw unknownDatabase(fleet, database);
    const { record } = stored;
    const server = serverOf(fleet, record);
    const now = Date.now();
    const view = await watchStore(consul, file.name).read(server);
    return answerOf({ database, server, record, view, now, maintenance: maintenanceOf(record, all, now) });
  });
}

/** Temporal still knows what the watch said last. */
async function withoutConsul(
  context: CliContext,
  file: Fleet,
  database: string,
  problem: FleetError,
): Promise<WhyAnswer> {
  const server = file.databases.find(({ name }) => name === database)?.server;
  if (server === undefined) throw problem;
  const away = `${problem.message} While Consul is away nobody is promoted and nobody is demoted; databases serve.`;
  try {
    const view = await withTemporal(context, (client) =>
      client.withDeadline(Date.now() + QUERY_MS, () =>
        client.workflow.getHandle(workflowId('watchServer', server)).query<WatchView | null>('watch'),
      ),
    );
    const answer = answerOf({ database, server, record: null, view, now: Date.now(), maintenance: null });
    return { ...answer, well: false, problems: [away] };
  } catch (error) {
    const problems = [away, `The watch could not be asked either: ${messageOf(error)}`];
    return { database, well: false, record: null, server, maintenance: null, watch: null, problems };
  }
}

const QUERY_MS = 5_000;

interface Known {
  readonly database: string;
  readonly server: string;
  readonly record: DatabaseRecord | null;
  readonly view: WatchView | null;
  readonly now: number;
  readonly maintenance: WhyAnswer['maintenance'];
}

function answerOf({ database, server, record, view, now, maintenance }: Known): WhyAnswer {
  const sees = view?.databases.find((one) => one.database === database) ?? null;
  const nobody = unwatched(server, view === null ? [] : [view], now);
  const notSeen =
    view !== null && sees === null && nobody === null
      ? `The watch of server ${server} does not know ${database} yet; ask again in a moment.`
      : null;
  const noLeader =
    record?.epoch === 0
      ? `${database} has no leader yet: ${record.operation?.workflowId ?? 'redis-fleet apply'} is to provision it.`
      : null;
  return {
    database,
    well: nobody === null && sees?.verdict.state === 'well',
    record,
    server,
    maintenance,
    watch:
      view === null
        ? null
        : {
            at: view.at,
            age: Math.max(0, now - Date.parse(view.at)),
            worker: view.worker,
            problems: view.problems,
            sees,
          },
    problems: [nobody, notSeen, noLeader].filter((problem) => problem !== null),
  };
}

/** The server that the leader's host belongs to: databases move. */
function serverOf(fleet: Fleet, { leader, server }: DatabaseRecord): string {
  return fleet.servers.find(({ hosts }) => hosts.some(({ name }) => name === leader.host))?.name ?? server;
}

function unknownDatabase(fleet: Fleet, database: string): FleetError {
  const names = fleet.databases.map(({ name }) => name);
  if (names.includes(database)) {
    return new FleetError('NotFound', `Database ${database} has no record yet; run: redis-fleet apply`);
  }
  const meant = didYouMean(database, names);
  const hint = meant === null ? 'See its databases with: redis-fleet status' : `Did you mean ${meant}?`;
  return new FleetError('InvalidRequest', `Fleet ${fleet.name} has no database ${database}. ${hint}`);
}
