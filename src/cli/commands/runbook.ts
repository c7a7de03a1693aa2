/** `redis-fleet runbook list|show|approve|retry|skip|abort`. */

import type { Client } from '@temporalio/client';
import { FleetError } from '../../fleet/errors.js';
import { didYouMean } from '../../fleet/nameRule.js';
import { showDuration } from '../../fleet/quantities.js';
import type { ControlMessage, RunbookState } from '../../fleet/runbook.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withTemporal } from '../connect.js';
import { UsageError } from '../failures.js';
import { listRunbooks } from '../listRunbooks.js';
import type { ListedRunbook } from '../listRunbooks.js';
import { moveRunbook } from '../moveRunbook.js';
import { queryRunbook, runbookEnd, unknownRunbook } from '../runbookState.js';
import type { RunbookEnd } from '../runbookState.js';
import { runbookText } from '../runbookText.js';
import { speaker } from '../speaker.js';
import { table } from '../table.js';

const DEFAULT_ENDED = 10;

export interface ListOptions {
  readonly json?: boolean;
  readonly all?: boolean;
}

export async function listCommand(context: CliContext, { json, all }: ListOptions): Promise<ExitCode> {
  const runbooks = await withTemporal(context, (client) =>
    listRunbooks(client, all ? Infinity : DEFAULT_ENDED),
  );
  if (json) {
    printJson(context, { runbooks });
    return WELL;
  }
  if (runbooks.length === 0) {
    printLine(context, 'There are no runbooks. (Temporal lists a new one a moment after it started.)');
    return WELL;
  }
  const rows = runbooks.map((runbook) => [
    runbook.workflowId,
    runbook.endedAt === null ? (runbook.status ?? 'running') : runbook.outcome,
    runbook.startedAt.slice(0, 19).replace('T', ' '),
    took(runbook),
    runbook.fleet ?? '',
    runbook.databases.slice(0, 4).join(', ') + (runbook.databases.length > 4 ? ', …' : ''),
  ]);
  const head = ['runbook', 'state', 'started (UTC)', 'took', 'fleet', 'databases'];
  printLine(context, table(head, rows, { lines: context.isTerminal }));
  return WELL;
}

function took({ startedAt, endedAt }: ListedRunbook): string {
  return endedAt === null ? '' : showDuration(Math.max(0, Date.parse(endedAt) - Date.parse(startedAt)));
}

/** Well unless the runbook failed, or waits for a person. */
export async function showCommand(
  context: CliContext,
  workflowId: string,
  { json }: { readonly json?: boolean },
): Promise<ExitCode> {
  return await withTemporal(context, async (client) => {
    const { state, end } = await readRunbook(client, workflowId);
    if (json) {
      const problem = end?.how === 'failed' ? { kind: end.kind, message: end.problem } : null;
      const result = end?.how === 'well' ? end.result : null;
      printJson(context, { workflowId, end: end?.how ?? null, problem, result, runbook: state });
    } else {
      if (state !== null) printLine(context, runbookText(state, { lines: context.isTerminal }));
      for (const line of endLines(workflowId, end)) printLine(context, line);
    }
    const waits = state !== null && (state.status === 'stuck' || state.status === 'waiting');
    return end?.how === 'failed' || waits ? NOT_WELL : WELL;
  });
}

function endLines(workflowId: string, end: RunbookEnd | null): string[] {
  if (end === null) return [];
  if (end.how === 'failed') return ['', `${workflowId} failed (${end.kind}): ${end.problem}`];
  return ['', `${workflowId} ended well. Result: ${JSON.stringify(end.result)}`];
}

async function readRunbook(
  client: Client,
  workflowId: string,
): Promise<{ state: RunbookState | null; end: RunbookEnd | null }> {
  const description = await client.workflow
    .getHandle(workflowId)
    .describe()
    .catch(async (error: unknown) => {
      throw await withHint(client, unknownRunbook(workflowId, error), workflowId);
    });
  if (description.status.name === 'RUNNING')
    return { state: await queryRunbook(client, { workflowId }), end: null };
  const end = await runbookEnd(client, { workflowId, runId: description.runId });
  return { state: end.runbook, end };
}

async function withHint(client: Client, error: FleetError, workflowId: string): Promise<FleetError> {
  const known = await listRunbooks(client, DEFAULT_ENDED).catch(() => []);
  const meant = didYouMean(
    workflowId,
    known.map((runbook) => runbook.workflowId),
  );
  return meant === null
    ? error
    : new FleetError('NotFound', `${error.message}. Did you mean ${meant}?`, { cause: error });
}

export interface MoveOptions {
  readonly json?: boolean;
  readonly reason?: string;
  readonly by?: string;
}

export async function moveCommand(
  context: CliContext,
  message: ControlMessage,
  workflowId: string,
  { json, reason, by }: MoveOptions,
): Promise<ExitCode> {
  if (reason === undefined || reason.trim() === '') {
    throw new UsageError(`${message} needs --reason: it is kept with the runbook. Nothing was done.`);
  }
  const argument = { by: speaker(context, by), reason };
  const answer = await withTemporal(context, (client) => moveRunbook(client, workflowId, message, argument));
  if (json) {
    printJson(context, { workflowId, message, ...argument, ...answer });
  } else if (answer.accepted) {
    printLine(
      context,
      `${workflowId} took "${message}". Follow it with: redis-fleet runbook show ${workflowId}`,
    );
  } else {
    context.err(`${workflowId} refused it. ${answer.why}\n`);
  }
  return answer.accepted ? WELL : NOT_WELL;
}
