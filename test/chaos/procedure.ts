/** A procedure as the crash matrix runs it: what is there before, what starts it, what it may leave behind. */

import type { Client } from '@temporalio/client';
import { queryRunbook, runbookEnd } from '../../src/cli/runbookState.js';
import { CONTROL_QUEUE, workflowId, type WorkflowType } from '../../src/fleet/names.js';
import type { RunbookState } from '../../src/fleet/runbook.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import { byType, crashPoints, firstOfEachType, wasRunAgain, type CrashPoint } from './crashPoints.js';
import {
  NOTHING_BEFORE,
  readBefore,
  readEndState,
  type Before,
  type EndState,
  type Parts,
} from './endState.js';

export interface Procedure {
  /** e.g. `bringUpFollower by chain`. */
  readonly name: string;
  readonly type: WorkflowType;
  /** Whether applications write while it runs; else they begin when it has ended. */
  readonly writes: 'meanwhile' | 'afterwards';
  /** An update that is sent when the runbook waits; then only what follows it is of interest. */
  readonly update?: 'abort';
  /** The points are those before the update: it is sent when the kill is over. */
  readonly steersAfterKill?: true;
  /** Activities after which to kill; default: all. What only looks is killed in other procedures often enough. */
  readonly killedAfter?: ReadonlySet<string>;
  /** The points are those of the runbook of that type which it starts for the database. Default: its own. */
  readonly killedIn?: WorkflowType;
  /** As which the runbook waits for that update. Default `waiting`. */
  readonly steersAt?: 'waiting' | 'stuck';
  /** What races in it differs from run to run: its activities are known by their types, and these are left out. */
  readonly races?: readonly string[];
  /** Of each type only the first so many: how often it is run depends on how long others take. Default: all. */
  readonly mostOfAType?: number;
  /** The part of the host that forks in it, with that host's permit. */
  readonly forksOn?: string;
  /** How many may fork on one host before the first of them is killed. Default 3. */
  readonly mostForks?: number;
  /** Brings the database into the state in which the procedure is needed. */
  prepare(fleet: TestFleet, database: string): Promise<{ readonly name: string; readonly request: object }>;
  parts(fleet: TestFleet, database: string): Parts;
  /** What it left elsewhere, in terms that are the same for every database. */
  besides?(fleet: TestFleet, database: string): Promise<object>;
}

export interface Outcome {
  readonly ended: string;
  readonly steps: readonly string[];
  /** What the procedure returned, but for what is different in every run. */
  readonly result: { readonly way: unknown; readonly leaderForks: unknown } | null;
  readonly end: EndState;
  /** null: it leaves nothing elsewhere. */
  readonly besides: object | null;
}

/** One run of a procedure on one database. */
export class Run {
  #writer: Writer | null = null;
  #before: Before = NOTHING_BEFORE;
  #request: object = {};
  #name = '';

  constructor(
    private readonly fleet: TestFleet,
    readonly procedure: Procedure,
    readonly database: string,
  ) {}

  get parts(): Parts {
    return this.procedure.parts(this.fleet, this.database);
  }

  get workflowId(): string {
    return workflowId(this.procedure.type, this.#name);
  }

  /** Of the workflow that has the points. */
  get heldId(): string {
    const { killedIn } = this.procedure;
    return killedIn === undefined ? this.workflowId : workflowId(killedIn, this.database);
  }

  async prepare(): Promise<void> {
    const { fleet, procedure, database } = this;
    const { name, request } = await procedure.prepare(fleet, database);
    this.#name = name;
    this.#request = request;
    this.#before = await readBefore(fleet, database, this.parts);
    if (procedure.writes === 'meanwhile') this.#writer = await this.#startWriter();
  }

  async start(): Promise<void> {
    await this.#client.workflow.start(this.procedure.type, {
      taskQueue: CONTROL_QUEUE,
      workflowId: this.workflowId,
      args: [this.#request],
    });
  }

  /** Sends the procedure's update, if it has one, as soon as the runbook waits for it. */
  async steer(): Promise<void> {
    const { update, steersAt = 'waiting' } = this.procedure;
    if (update === undefined) return;
    await waitFor(async () => (await this.#state()).status === steersAt, {
      // Others may fork before it.
      deadlineMs: 150_000,
      what: `${this.workflowId} to wait`,
    });
    await this.#handle.executeUpdate(update, { args: [{ by: 'ann', reason: 'a better way' }] });
  }

  /** For messages. */
  async whereItIs(): Promise<string> {
    return JSON.stringify(await this.#state().catch(String));
  }

  /** @throws Unreachable when it does not end in time, with the state it is in; it is terminated then */
  async end(deadlineMs: number): Promise<void> {
    try {
      await waitFor(() => this.hasEnded(), {
        deadlineMs,
        everyMs: 100,
        what: `the end of ${this.workflowId}`,
      });
    } catch (error) {
      const where = await this.whereItIs();
      await this.#handle.terminate('The crash matrix waited too long for it.');
      throw new Error(`${String(error)} ${where}`, { cause: error });
    }
  }

  async hasEnded(): Promise<boolean> {
    return (await this.#handle.describe()).status.name !== 'RUNNING';
  }

  async outcome(): Promise<Outcome> {
    const { fleet, database, parts } = this;
    const ended = await runbookEnd(this.#client, { workflowId: this.workflowId });
    const writer = this.#writer ?? (await this.#startWriter());
    await writer.stop();
    return {
      ended: ended.how === 'well' ? 'well' : ended.kind,
      steps: (ended.runbook?.steps ?? []).map(({ name, progress }) => `${name}: ${progress.state}`),
      result: ended.how === 'well' ? comparable(ended.result) : null,
      end: await readEndState(fleet, database, parts, this.#before, writer),
      besides: (await this.procedure.besides?.(fleet, database)) ?? null,
    };
  }

  /** Its writer ends in any case. */
  async leave(): Promise<void> {
    await this.#writer?.stop();
  }

  async crashPoints(): Promise<readonly CrashPoint[]> {
    const { database, parts, procedure } = this;
    const { update, steersAfterKill, races, mostOfAType = Infinity } = procedure;
    const since = steersAfterKill ? undefined : update;
    const all = crashPoints(await this.#heldHistory(), { database, parts }, since);
    const points = firstOfEachType(all, mostOfAType);
    return races === undefined ? points : byType(points, races);
  }

  async wasRunAgain(point: CrashPoint): Promise<boolean> {
    return wasRunAgain(await this.#heldHistory(), point);
  }

  get #client(): Client {
    return this.fleet.dev.temporal;
  }

  get #handle(): ReturnType<Client['workflow']['getHandle']> {
    return this.#client.workflow.getHandle(this.workflowId);
  }

  #heldHistory(): ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']> {
    return this.#client.workflow.getHandle(this.heldId).fetchHistory();
  }

  #state(): Promise<RunbookState> {
    return queryRunbook(this.#client, { workflowId: this.workflowId });
  }

  /** Returns when writes are acknowledged. */
  async #startWriter(): Promise<Writer> {
    const writer = Writer.start({
      ...this.fleet.application,
      locate: () => this.fleet.leader(this.database),
      rate: WRITES_A_SECOND,
    });
    await waitFor(() => writer.counts.acknowledged >= FIRST_WRITES, {
      deadlineMs: 60_000,
      what: `acknowledged writes to ${this.database}`,
    });
    return writer;
  }
}

const WRITES_A_SECOND = 100;
const FIRST_WRITES = 20;

function comparable(result: unknown): Outcome['result'] {
  const { way = null, leaderForks = null } = result as { way?: unknown; leaderForks?: unknown };
  return { way, leaderForks };
}
