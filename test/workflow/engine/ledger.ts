/** The activities of the engine's tests: they write down what was done, and fail as often as a test says. */

import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';

export interface Ledger {
  act(name: string): Promise<void>;
  /** Heartbeats until it is cancelled, or let go by the test. */
  takeLong(name: string): Promise<void>;
}

interface Trouble {
  times: number;
  readonly failure: ApplicationFailure;
}

export class TestLedger {
  private readonly done = new Map<string, string[]>();
  private readonly troubles = new Map<string, Trouble>();

  /** What was done for a workflow, in order. */
  of(workflowId: string): readonly string[] {
    return this.done.get(workflowId) ?? [];
  }

  fail(
    workflowId: string,
    name: string,
    { times = 1, kind = 'FollowerUnfit', message = `${name} cannot be done.`, retryable = false } = {},
  ): void {
    const failure = ApplicationFailure.create({ message, type: kind, nonRetryable: !retryable });
    this.troubles.set(`${workflowId} ${name}`, { times, failure });
  }

  readonly activities: Ledger = {
    act: (name) => {
      const { workflowId } = whose();
      const trouble = this.troubles.get(`${workflowId} ${name}`);
      if (trouble !== undefined && trouble.times > 0) {
        trouble.times -= 1;
        this.write(workflowId, `${name} failed`);
        return Promise.reject(trouble.failure);
      }
      this.write(workflowId, name);
      return Promise.resolve();
    },
    takeLong: async (name) => {
      const { workflowId } = whose();
      this.write(workflowId, `${name} began`);
      const beat = setInterval(() => {
        Context.current().heartbeat();
      }, 100);
      try {
        await Context.current().cancelled;
      } catch (error) {
        if (error instanceof CancelledFailure) this.write(workflowId, `${name} cancelled`);
        throw error;
      } finally {
        clearInterval(beat);
      }
    },
  };

  private write(workflowId: string, line: string): void {
    this.done.set(workflowId, [...this.of(workflowId), line]);
  }
}

function whose(): { workflowId: string } {
  const { workflowExecution } = Context.current().info;
  if (workflowExecution === undefined) throw new Error('These activities belong to a workflow.');
  return workflowExecution;
}
