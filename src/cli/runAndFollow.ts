/** Starts a runbook, follows it, and says how it ended: what provision, bring-up and apply share. */

import type { Client } from '@temporalio/client';
import type { WorkflowType } from '../fleet/names.js';
import type { RequestByType } from '../fleet/requests.js';
import { NOT_WELL, printLine, WELL } from './context.js';
import type { CliContext, ExitCode } from './context.js';
import { followRunbook } from './followRunbook.js';
import type { Followed } from './followRunbook.js';
import { nextCommands } from './runbookText.js';
import { startRunbook } from '../connections/startRunbook.js';
import type { RunbookSubject, StartedRunbook } from '../connections/startRunbook.js';

export interface RunOptions {
  readonly detach: boolean;
  /** No lines: the caller prints JSON. */
  readonly quiet: boolean;
  /** Before each line, where several runbooks are followed at once. */
  readonly prefix?: string;
}

export interface RunOutcome {
  readonly exitCode: ExitCode;
  readonly started: StartedRunbook;
  /** null: detached. */
  readonly followed: Followed | null;
}

export async function runAndFollow<T extends WorkflowType>(
  context: CliContext,
  client: Client,
  runbook: {
    readonly type: T;
    readonly name: string;
    readonly request: RequestByType[T];
    readonly subject: RunbookSubject;
  },
  { detach, quiet, prefix = '' }: RunOptions,
): Promise<RunOutcome> {
  const say = (line: string): void => {
    if (!quiet) printLine(context, `${prefix}${line}`);
  };
  const { type, name, request, subject } = runbook;
  const started = await startRunbook(client, type, name, request, subject);
  const { workflowId, wasRunning } = started;
  say(wasRunning ? `${workflowId} runs already, as it was started before.` : `${workflowId} is started.`);
  if (detach) {
    say(`It goes on by itself; see: redis-fleet runbook show ${workflowId}`);
    return { exitCode: WELL, started, followed: null };
  }
  const followed = await followRunbook(client, started, { onLine: say, signal: context.interruption() });
  for (const line of endLines(workflowId, followed)) say(line);
  return { exitCode: followed.how === 'well' ? WELL : NOT_WELL, started, followed };
}

function endLines(workflowId: string, followed: Followed): string[] {
  switch (followed.how) {
    case 'well':
      return [...(followed.runbook?.notes ?? []), `${workflowId} ended well.`];
    case 'failed':
      return [`${workflowId} failed: ${followed.problem}`, `See: redis-fleet runbook show ${workflowId}`];
    case 'waits':
      return [`${workflowId} waits for you, and keeps all it has.`, ...nextCommands(followed.runbook)];
    case 'left':
      return [`${workflowId} goes on by itself; see: redis-fleet runbook show ${workflowId}`];
  }
}

/** For `--json`: `{"workflowId","runId","wasRunning","end":"well|failed|waits|left|detached","result","problem","runbook"}` */
export function outcomeJson({ started, followed }: RunOutcome): Record<string, unknown> {
  return {
    ...started,
    end: followed?.how ?? 'detached',
    result: followed?.how === 'well' ? followed.result : null,
    problem: followed?.how === 'failed' ? followed.problem : null,
    runbook: followed?.runbook ?? null,
  };
}
