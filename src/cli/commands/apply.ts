/**
 * `redis-fleet apply`: stores the fleet in Consul, has every server watched, provisions the servers whose databases have
 * no leader yet, and has every host's followers backed up on schedule.
 */

import type { Fleet } from '../../fleet/fleet.js';
import { FleetError } from '../../fleet/errors.js';
import type { Plan, PlanChange } from '../../fleet/planChange.js';
import { planText } from '../../fleet/planText.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { fleetOfFile, readKnownFleet } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import type { RunOutcome } from '../runAndFollow.js';
import { awaitWatched, startWatches } from '../startWatches.js';
import { applySchedules, scheduleLines, schedulesJson } from '../scheduleChanges.js';
import { isRefused, planJson, planOf } from './plan.js';
import type { PlanOptions } from './plan.js';

export interface ApplyOptions extends PlanOptions {
  readonly detach?: boolean;
}

type Provision = Extract<PlanChange, { kind: 'provision server' }>;

/** Consul takes values up to 512 KiB. */
const LARGEST_VALUE = 512 * 1024;

export async function applyCommand(
  context: CliContext,
  file: string | undefined,
  { json = false, detach = false, file: option }: ApplyOptions,
): Promise<ExitCode> {
  const desired = await fleetOfFile(context, file, option);
  refuseTooLarge(desired);
  const plan = await withConsul(context, async (consul) => {
    const known = await readKnownFleet(consul, desired.name);
    const planned = planOf(desired, known);
    if (!json) printLine(context, planText(planned));
    if (isRefused(planned) || !planned.stores) return planned;
    const [{ fleetStore }, { ABSENT }] = await Promise.all([
      import('../../records/fleet.js'),
      import('../../records/databases.js'),
    ]);
    await fleetStore(consul, desired.name).write(desired, known.applied?.modifyIndex ?? ABSENT);
    if (!json) printLine(context, `\nThe fleet is stored in Consul at ${consul.address}.`);
    return planned;
  });
  if (isRefused(plan)) {
    if (json)
      printJson(context, { plan: planJson(plan), stored: false, runbooks: [], watches: [], schedules: [] });
    else context.err('Nothing was done: resolve what is marked ! first.\n');
    return NOT_WELL;
  }
  const started = await startWatches(context, desired);
  const outcomes = await provision(context, desired, plan, { detach, quiet: json });
  // Last: the first sweep begins at once, and there shall be followers then.
  const schedules = await applySchedules(context, desired);
  const watches = detach ? started : await awaitWatched(context, desired, started);
  if (json) {
    const runbooks = outcomes.map(outcomeJson);
    printJson(context, {
      plan: planJson(plan),
      stored: plan.stores,
      runbooks,
      watches,
      schedules: schedulesJson(schedules),
    });
  } else {
    for (const line of scheduleLines(schedules)) printLine(context, line);
    for (const { server, workflowId, wasRunning, watched } of watches) {
      if (!wasRunning) printLine(context, `${workflowId} is started: it watches the leaders of ${server}.`);
      if (watched === false) {
        printLine(
          context,
          `Nobody watches ${server} yet: ${workflowId} waits for a worker (redis-fleet worker).`,
        );
      }
    }
  }
  return outcomes.every(({ exitCode }) => exitCode === WELL) ? WELL : NOT_WELL;
}

async function provision(
  context: CliContext,
  fleet: Fleet,
  plan: Plan,
  options: { readonly detach: boolean; readonly quiet: boolean },
): Promise<readonly RunOutcome[]> {
  const servers = plan.changes.filter(
    (change): change is Provision => change.kind === 'provision server' && change.databases.length > 0,
  );
  if (servers.length === 0) return [];
  if (!options.quiet) printLine(context, '');
  return await withTemporal(context, (client) =>
    Promise.all(
      servers.map(({ server, databases, leaderHost, followerHost }) =>
        runAndFollow(
          context,
          client,
          {
            type: 'provisionServer',
            name: server,
            request: { server },
            subject: { fleet: fleet.name, servers: [server], databases, hosts: [leaderHost, followerHost] },
          },
          { ...options, prefix: servers.length > 1 ? `${server}  ` : '' },
        ),
      ),
    ),
  );
}

function refuseTooLarge(fleet: Fleet): void {
  const size = Buffer.byteLength(JSON.stringify(fleet));
  if (size <= LARGEST_VALUE) return;
  throw new FleetError(
    'InvalidFleetFile',
    `Fleet ${fleet.name} takes ${String(size)} bytes as JSON, and Consul stores at most ${String(LARGEST_VALUE)} in one ` +
      `value. Nothing was done: write it as several fleets, each in a file of its own.`,
  );
}
