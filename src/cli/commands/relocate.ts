/** `redis-fleet relocate --host H | --drain H`, `redis-fleet rebalance`: plans moves, and has them made. */

import { parseDuration, parseSize, type Parsed } from '../../fleet/quantities.js';
import { planRelocation } from '../../fleet/relocation/planner.js';
import type { RelocationPlan } from '../../fleet/relocation/plan.js';
import { planLines } from '../../fleet/relocation/planText.js';
import { goalOf, optionsOf } from '../../fleet/relocation/requested.js';
import type { RelocateDatabasesRequest } from '../../fleet/requests.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { UsageError } from '../failures.js';
import { fleetOfFile } from '../fleetInput.js';
import { COPY_IN_PAUSE } from '../../workflows/moveOutline.js';
import type { Relocated } from '../../workflows/relocateDatabases.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';
import { speaker } from '../speaker.js';

export interface RelocateOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
  readonly host?: string;
  readonly drain?: string;
  readonly rebalance?: true;
  readonly dryRun?: boolean;
  readonly approve?: boolean;
  readonly reason?: string;
  readonly by?: string;
  readonly withoutAskingBelow?: string;
  readonly horizon?: string;
  readonly atOnce?: number;
  readonly bandwidth?: string;
  readonly pauseWrites?: number;
}

/** The step that asks, by its name. */
const MOVE_STEP = 'move the databases';

export async function relocateCommand(context: CliContext, options: RelocateOptions): Promise<ExitCode> {
  const { json = false, detach = false } = options;
  const request = relocateRequest(context, options);
  const { name: fleet } = await fleetOfFile(context, undefined, options.file);
  if (options.dryRun) return await showPlan(context, fleet, request, json);
  const { host, drain } = request;
  const name = host ?? (drain === undefined ? 'rebalance' : `drain-${drain}`);
  const named = host ?? drain;
  const subject = { fleet, ...(named === undefined ? {} : { hosts: [named] }) };
  const runbook = { type: 'relocateDatabases', name, request, subject } as const;
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(context, client, runbook, { detach, quiet: json }),
  );
  if (json) printJson(context, outcomeJson(outcome));
  const short = outcome.followed?.how === 'well' && isShort(outcome.followed.result as Relocated, request);
  return short ? NOT_WELL : outcome.exitCode;
}

/**
 * It moved what could be moved, and that was not enough: its notes say what is left, and what would help. Of a rebalance
 * every move was worth while, and no next one is.
 */
function isShort({ after, moved }: Relocated, { rebalance }: RelocateDatabasesRequest): boolean {
  return after.kind === 'impossible' && !(rebalance === true && moved.length > 0);
}

/** By the same planner, from what Consul knows; needs no worker. */
async function showPlan(
  context: CliContext,
  fleet: string,
  request: RelocateDatabasesRequest,
  json: boolean,
): Promise<ExitCode> {
  const { readRelocationState } = await import('../../records/relocation.js');
  const state = await withConsul(context, (consul) => readRelocationState(consul, fleet, Date.now()));
  const plan: RelocationPlan = planRelocation(state, goalOf(request), optionsOf(request));
  if (json) printJson(context, { fleet, ...plan });
  else {
    for (const line of planLines(plan)) printLine(context, line);
    if (plan.kind === 'plan') printLine(context, `Nothing was moved. To do it: ${commandOf(request)}`);
  }
  return plan.kind === 'impossible' ? NOT_WELL : WELL;
}

function commandOf({ host, drain }: RelocateDatabasesRequest): string {
  if (host !== undefined) return `redis-fleet relocate --host ${host}`;
  return drain === undefined ? 'redis-fleet rebalance --run' : `redis-fleet relocate --drain ${drain}`;
}

function relocateRequest(context: CliContext, options: RelocateOptions): RelocateDatabasesRequest {
  const { host, drain, rebalance, horizon, atOnce, bandwidth, pauseWrites, withoutAskingBelow } = options;
  const given = [host, drain, rebalance].filter((one) => one !== undefined);
  if (given.length !== 1) {
    throw new UsageError(
      'Say what for: redis-fleet relocate --host HOST, redis-fleet relocate --drain HOST, or redis-fleet rebalance. Nothing was done.',
    );
  }
  const approved = approvalOf(context, options);
  return {
    ...(host === undefined ? {} : { host }),
    ...(drain === undefined ? {} : { drain }),
    ...(rebalance === undefined ? {} : { rebalance }),
    ...(atOnce === undefined ? {} : { atOnce }),
    ...(horizon === undefined ? {} : { horizon: seconds('--horizon', horizon) }),
    ...(withoutAskingBelow === undefined
      ? {}
      : { withoutAskingBelow: seconds('--without-asking-below', withoutAskingBelow) }),
    ...(bandwidth === undefined ? {} : { bandwidth: valueOf('--bandwidth', parseSize(bandwidth)) }),
    ...(pauseWrites === undefined ? {} : { pauseWrites: { seconds: pauseWrites } }),
    ...(approved === null
      ? {}
      : {
          approved: {
            [MOVE_STEP]: approved,
            ...(pauseWrites === undefined ? {} : { [COPY_IN_PAUSE.name]: approved }),
          },
        }),
  };
}

function approvalOf(
  context: CliContext,
  { approve = false, by, reason }: RelocateOptions,
): { readonly by: string; readonly reason: string } | null {
  if (!approve) return null;
  if (reason === undefined) {
    throw new UsageError('--approve needs --reason: why may databases move? Nothing was done.');
  }
  return { by: speaker(context, by), reason };
}

function seconds(option: string, text: string): number {
  return Math.max(1, Math.round(valueOf(option, parseDuration(text)) / 1_000));
}

function valueOf(option: string, parsed: Parsed<number>): number {
  if (parsed.ok) return parsed.value;
  throw new UsageError(`${option}: ${parsed.problem}. Nothing was done.`);
}
