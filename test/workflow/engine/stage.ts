/** What the engine's stories are told on: a real Temporal server, a worker with the small procedures, and a ledger. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import {
  bundleWorkflowCode,
  DefaultLogger,
  Runtime,
  Worker,
  type NativeConnection,
} from '@temporalio/worker';
import type {
  ControlMessage,
  RunbookResult,
  RunbookState,
  StepProgress,
} from '../../../src/fleet/runbook.js';
import { startTestTemporal, type TestTemporal } from '../../../src/testbed/temporal.js';
import { waitFor } from '../../../src/testbed/waiting.js';
import { TestLedger } from './ledger.js';

export const QUEUE = 'engine';
const run = promisify(execFile);

/** Runbooks that fail on purpose are not worth a line. */
Runtime.install({ logger: new DefaultLogger('ERROR') });

export type Handle = WorkflowHandle;

export class Stage {
  private readonly started: string[] = [];
  private number = 0;

  private constructor(
    readonly temporal: TestTemporal,
    readonly ledger: TestLedger,
    readonly bundle: { code: string },
    private readonly worker: Worker,
    private readonly running: Promise<void>,
  ) {}

  static async open(): Promise<Stage> {
    const [temporal, bundle] = await Promise.all([startTestTemporal(), bundleStories()]);
    const ledger = new TestLedger();
    const worker = await storyWorker(temporal.nativeConnection, bundle, ledger);
    return new Stage(temporal, ledger, bundle, worker, worker.run());
  }

  async close(): Promise<void> {
    this.worker.shutdown();
    await this.running;
    await this.temporal.stop();
  }

  get client(): Client {
    return this.temporal.client;
  }

  /** A new id: prepare the ledger for it, then start it. */
  id(name: string): string {
    return `${name}/${String(++this.number)}`;
  }

  async start(workflowType: string, workflowId: string, ...args: unknown[]): Promise<Handle> {
    this.started.push(workflowId);
    return this.client.workflow.start(workflowType, { taskQueue: QUEUE, workflowId, args });
  }

  /** Says something to a runbook before its first step. */
  async startWithSignal(workflowType: string, workflowId: string, message: ControlMessage): Promise<Handle> {
    this.started.push(workflowId);
    return this.client.workflow.signalWithStart(workflowType, {
      taskQueue: QUEUE,
      workflowId,
      args: [{}],
      signal: message,
      signalArgs: [{ by: 'ann', reason: 'too early' }],
    });
  }

  /** Replays every history of this stage, as the CLI saved it. @returns how many; throws the first one's error */
  async replay(): Promise<number> {
    const histories = await Promise.all(
      this.started.map(async (workflowId) => {
        const shown = await this.cli('workflow', 'show', '--workflow-id', workflowId, '--output', 'json');
        return { workflowId, history: JSON.parse(shown) as unknown };
      }),
    );
    let replayed = 0;
    for await (const { error } of Worker.runReplayHistories({ workflowBundle: this.bundle }, histories)) {
      if (error !== undefined) throw error;
      replayed += 1;
    }
    return replayed;
  }

  /** The `temporal` tool, as a person would use it. */
  async cli(...parameters: string[]): Promise<string> {
    const { stdout } = await run(this.temporal.binary, parameters, {
      env: { ...process.env, ...this.temporal.env },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }

  /** A whole command line, through a shell, with the tool found on PATH. */
  async shell(line: string): Promise<string> {
    const { stdout } = await run('/bin/sh', ['-c', `temporal() { "$TEMPORAL" "$@"; }; ${line}`], {
      env: { ...process.env, ...this.temporal.env, TEMPORAL: this.temporal.binary },
    });
    return stdout;
  }
}

export async function bundleStories(): Promise<{ code: string }> {
  return bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('stories.workflows.ts', import.meta.url)),
    logger: Runtime.instance().logger,
  });
}

export async function storyWorker(
  connection: NativeConnection,
  workflowBundle: { code: string },
  ledger: TestLedger,
): Promise<Worker> {
  return Worker.create({
    connection,
    taskQueue: QUEUE,
    workflowBundle,
    activities: ledger.activities,
    // Cancellation reaches an activity with its heartbeats: at most so rarely.
    maxHeartbeatThrottleInterval: '200 milliseconds',
    defaultHeartbeatThrottleInterval: '200 milliseconds',
    shutdownGraceTime: '1 second',
  });
}

export async function stateOf(handle: Handle): Promise<RunbookState> {
  return handle.query<RunbookState>('runbook');
}

/** Waits until a step is in a state. */
export async function until(
  handle: Handle,
  step: string,
  state: StepProgress['state'],
): Promise<RunbookState> {
  return waitFor(
    async () => {
      const seen = await stateOf(handle);
      return progressOf(seen, step)?.state === state ? seen : null;
    },
    { deadlineMs: 20_000, what: `step "${step}" of ${handle.workflowId} to be ${state}` },
  );
}

export function progressOf(state: RunbookState, step: string): StepProgress | undefined {
  return state.steps.find(({ name }) => name === step)?.progress;
}

export async function tell(
  handle: Handle,
  message: ControlMessage,
  reason = 'because',
  by = 'ann',
): Promise<string> {
  return handle.executeUpdate<string, [unknown]>(message, { args: [{ by, reason }] });
}

/** Why an update was refused. */
export async function refusalOf(sending: Promise<unknown>): Promise<string> {
  try {
    await sending;
  } catch (error) {
    const { cause } = error as Error;
    return cause instanceof Error ? cause.message : String(error);
  }
  throw new Error('It was not refused.');
}

export async function resultOf<T>(handle: Handle): Promise<RunbookResult<T>> {
  return (await handle.result()) as RunbookResult<T>;
}

/** What a runbook ended with that failed. */
export async function failureOf(
  handle: Handle,
): Promise<{ failure: ApplicationFailure; state: RunbookState }> {
  try {
    await handle.result();
  } catch (error) {
    if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) {
      return { failure: error.cause, state: error.cause.details?.[0] as RunbookState };
    }
    throw error;
  }
  throw new Error(`${handle.workflowId} did not fail.`);
}
