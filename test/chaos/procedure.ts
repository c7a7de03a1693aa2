/** A procedure as the crash matrix runs it: what is there before, what starts it, what it may leave behind. */

import type { Client } from '@temporalio/client';
import { queryRunbook, runbookEnd } from '../../src/cli/runbookState.js';
import { CONTROL_QUEUE, workflowId, type WorkflowType } from '../../src/fleet/names.js';
import type { RunbookState } from '../../src/fleet/runbook.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import {
  byType,
  crashPoints,
  timesOfEachType,
  wasRunAgain,
  type CrashPoint,
  type Holds,
} from './crashPoints.js';
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
  /**
   * The update is sent while the runbook that has the points is held after an activity of that type, and never waits for
   * anything. Both runbooks must have ended.
   */
  readonly steersWhileHeldAfter?: string;
  /** As which the runbook waits for that update. Default `waiting`. */
  readonly steersAt?: 'waiting' | 'stuck';
  /** What races in it differs from run to run: its activities are known by their types, and these are left out. */
  readonly races?: readonly string[];
  /** Of each type only these times, counted from 1: how often it is run depends on how long others take. Default: all. */
  readonly timesOfAType?: readonly number[];
  /** The part of the host that forks in it, with that host's permit. */
  readonly forksOn?: string;
  /** How many may fork on one host before the first of them is killed. Default 3. */
  readonly mostForks?: number;
  /** Brings the database into the state in which the procedure is needed. */
  prepare(fleet: TestFleet, database: string): Promise<{ readonly name: string; readonly request: object }>;
  parts(fleet: TestFleet, database: string): Parts;
  /** Other databases that it changes: they are written to as well. Default: none. */
  others?(fleet: TestFleet, database: string): readonly string[];
  /** What it left elsewhere, in terms that are the same for every database. */
  besides?(fleet: TestFleet, database: string): Promise<object>;
}

export interface Outcome {
  readonly ended: string;
  readonly steps: readonly string[];
  /** What the procedure returned, but for what is different in every run. */
  readonly result: { readonly way: unknown; readonly leaderForks: unknown } | null;
  readonly end: EndState;
  /** Of the procedure's other databases. */
  readonly others: readonly EndState[];
  /** null: it leaves nothing elsewhere. */
  readonly besides: object | null;
}

/** One run of a procedure on one database. */
export class Run {
  readonly #writers = new Map<string, Writer>();
  readonly #before = new Map<string, Before>();
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
    for (const one of this.#databases) {
      this.#before.set(one, await readBefore(fleet, one, procedure.parts(fleet, one)));
      if (procedure.writes === 'meanwhile') await this.#writerOf(one);
    }
  }

  async start(): Promise<void> {
    await this.#client.workflow.start(this.procedure.type, {
      taskQueue: CONTROL_QUEUE,
      workflowId: this.workflowId,
      args: [this.#request],
    });
  }

  /** Sends the procedure's update, if it has one, as soon as the runbook waits for it. */
  async steer(holds: Holds): Promise<void> {
    const { update, steersAt = 'waiting', steersWhileHeldAfter } = this.procedure;
    if (update === undefined) return;
    const isTime = async (): Promise<boolean> =>
      steersWhileHeldAfter === undefined
        ? (await this.#state()).status === steersAt
        : holds.isReached(this.heldId);
    await waitFor(isTime, {
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
    if (await this.#isRunning(this.workflowId)) return false;
    return this.procedure.steersWhileHeldAfter === undefined || !(await this.#isRunning(this.heldId));
  }

  async outcome(): Promise<Outcome> {
    const { database } = this;
    const ended = await runbookEnd(this.#client, { workflowId: this.workflowId });
    const end = await this.#endOf(database);
    const others: EndState[] = [];
    for (const one of this.#databases.slice(1)) others.push(await this.#endOf(one));
    return {
      ended: ended.how === 'well' ? 'well' : ended.kind,
      steps: (ended.runbook?.steps ?? []).map(({ name, progress }) => `${name}: ${progress.state}`),
      result: ended.how === 'well' ? comparable(ended.result) : null,
      end,
      others,
      besides: (await this.procedure.besides?.(this.fleet, database)) ?? null,
    };
  }

  /** Its writers end in any case. */
  async leave(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.stop()));
  }

  async crashPoints(): Promise<readonly CrashPoint[]> {
    const { database, parts, procedure } = this;
    const { update, steersAfterKill, steersWhileHeldAfter, races, timesOfAType } = procedure;
    const since = steersAfterKill || steersWhileHeldAfter !== undefined ? undefined : update;
    const all = crashPoints(await this.#heldHistory(), { database, parts }, since);
    const points = timesOfAType === undefined ? all : timesOfEachType(all, timesOfAType);
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

  get #databases(): readonly string[] {
    return [this.database, ...(this.procedure.others?.(this.fleet, this.database) ?? [])];
  }

  async #isRunning(id: string): Promise<boolean> {
    return (await this.#client.workflow.getHandle(id).describe()).status.name === 'RUNNING';
  }

  async #endOf(database: string): Promise<EndState> {
    const { fleet, procedure } = this;
    const writer = await this.#writerOf(database);
    await writer.stop();
    const before = this.#before.get(database) ?? NOTHING_BEFORE;
    return readEndState(fleet, database, procedure.parts(fleet, database), before, writer);
  }

  /** Returns when writes are acknowledged. */
  async #writerOf(database: string): Promise<Writer> {
    const known = this.#writers.get(database);
    if (known !== undefined) return known;
    const writer = Writer.start({
      ...this.fleet.application,
      locate: () => this.fleet.leader(database),
      rate: WRITES_A_SECOND,
    });
    this.#writers.set(database, writer);
    await waitFor(() => writer.counts.acknowledged >= FIRST_WRITES, {
      deadlineMs: 60_000,
      what: `acknowledged writes to ${database}`,
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
