/** What the stories of switchovers share: starting one, one attempt of a hand-over by hand, and what must hold at the end. */

import process from 'node:process';
import { expect } from 'vitest';
import { handOver, settleHandOver, type HandOver } from '../../src/activities/handOver.js';
import type { HandedOver } from '../../src/activities/switchoverContract.js';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { FleetError } from '../../src/fleet/errors.js';
import { sameEndpoint, type DatabaseRecord, type Endpoint, type Operation } from '../../src/fleet/record.js';
import type { SwitchoverRequest } from '../../src/fleet/requests.js';
import type { RunbookState } from '../../src/fleet/runbook.js';
import { recordStore, type RecordStore } from '../../src/records/databases.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import type { SwitchedOver } from '../../src/workflows/switchover.js';
import { caughtUpFollower, pidOf, redisAt, SECOND } from './bringUpStage.js';

export async function startSwitchover(
  fleet: TestFleet,
  request: SwitchoverRequest,
  name = request.database ?? request.host ?? 'several',
): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name };
  const { workflowId, wasRunning } = await startRunbook(
    fleet.dev.temporal,
    'switchover',
    name,
    request,
    subject,
  );
  expect(wasRunning).toBe(false);
  return workflowId;
}

export async function switchedOver(
  fleet: TestFleet,
  request: SwitchoverRequest,
): Promise<SwitchedOver & { readonly runbook: RunbookState }> {
  const workflowId = await startSwitchover(fleet, request);
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  if (end.runbook === null) throw new Error(`${workflowId} left no state`);
  return { ...(end.result as SwitchedOver), runbook: end.runbook };
}

/** Writes as fast as the leader takes them, and finds the new leader by the record. */
/** It waits as long as it takes: none of its writes may fail. */
export const PATIENT = { answerWithinMs: 120 * SECOND, inFlight: 4_096 };

export async function writing(
  fleet: TestFleet,
  database: string,
  rate: number | 'full' = 'full',
  patience: Partial<typeof PATIENT> = {},
): Promise<Writer> {
  const { application } = fleet;
  const writer = Writer.start({ ...application, ...patience, locate: () => fleet.leader(database), rate });
  await waitFor(() => writer.counts.acknowledged > 20, { deadlineMs: 60 * SECOND, what: 'the first writes' });
  return writer;
}

/** Writes are acknowledged now, by the process that the record names. */
export async function writesGoOn(writer: Writer): Promise<void> {
  const before = writer.counts.acknowledged;
  await waitFor(() => writer.counts.acknowledged > before + 20, {
    deadlineMs: 60 * SECOND,
    everyMs: 5,
    what: 'writes to go on',
  });
}

export interface Forks {
  readonly [where: string]: number;
}

/** `total_forks` of both processes, by host. */
export async function forksOf(fleet: TestFleet, database: string): Promise<Forks> {
  const { leader, follower } = await fleet.record(database);
  const both = follower === null ? [leader] : [leader, follower];
  const counts = await Promise.all(
    both.map(async (one) => [one.host, (await fleet.facts(one)).totalForks] as const),
  );
  return Object.fromEntries(counts.toSorted(([a], [b]) => a.localeCompare(b)));
}

/**
 * The one who leads by the record leads, its follower follows it and has all, nobody else leads, nobody owns the
 * database, and both hold every write that was acknowledged.
 */
export async function expectWhole(fleet: TestFleet, database: string, writer: Writer): Promise<void> {
  await writesGoOn(writer);
  await writer.stop();
  const record = await fleet.record(database);
  expect(record.operation).toBeUndefined();
  expect((await fleet.facts(record.leader)).role).toBe('leader');
  const follower = await caughtUpFollower(fleet, database);
  for (const where of [record.leader, follower]) {
    const { acknowledged, lost } = await writer.verify(where, fleet.application);
    expect(acknowledged).toBeGreaterThan(0);
    expect({ where: where.host, lost }).toEqual({ where: where.host, lost: 0 });
  }
}

/** A runbook that owns a database, without a workflow: for one attempt at a time, broken off where a story wants it. */
export class Owner {
  readonly operation: Operation = {
    type: 'switchover',
    workflowId: 'by-hand/switchover',
    runId: 'the-only-run',
    urgency: 'planned',
    since: '2026-01-01T00:00:00.000Z',
  };
  readonly records: RecordStore;

  constructor(
    private readonly fleet: TestFleet,
    readonly database: string,
  ) {
    this.records = recordStore(fleet.dev.consul, fleet.dev.fleet.name);
  }

  async claim(): Promise<DatabaseRecord & { readonly follower: Endpoint }> {
    const record = await this.change((now) => ({ ...now, operation: this.operation }));
    if (record.follower === null) throw new Error(`${this.database} has no follower`);
    return { ...record, follower: record.follower };
  }

  async release(): Promise<void> {
    await this.change(({ operation: _operation, ...free }) => free);
  }

  async change(make: (record: DatabaseRecord) => DatabaseRecord): Promise<DatabaseRecord> {
    const stored = await this.records.read(this.database);
    if (stored === null) throw new Error(`${this.database} has no record`);
    const record = make(stored.record);
    expect(await this.records.compareAndSet(record, stored.modifyIndex)).toBe(true);
    return record;
  }

  /** One attempt. `meanwhile` happens after the last look, just before the pause. */
  attempt(
    planned: DatabaseRecord & { readonly follower: Endpoint },
    { meanwhile, records = this.records }: { meanwhile?: () => unknown; records?: RecordStore } = {},
  ): Promise<HandedOver> {
    const judge: HandOver['judge'] = async () => {
      await meanwhile?.();
      return { may: true };
    };
    return handOver({ ...this.order(planned), records, judge });
  }

  settle(planned: DatabaseRecord & { readonly follower: Endpoint }): Promise<void> {
    return settleHandOver(this.order(planned));
  }

  private order(planned: DatabaseRecord & { readonly follower: Endpoint }): Omit<HandOver, 'judge'> {
    return {
      database: this.database,
      epoch: planned.epoch,
      from: planned.leader,
      to: planned.follower,
      author: { operation: this.operation, at: new Date().toISOString() },
      records: this.records,
      credentials: this.fleet.dev.credentials,
    };
  }
}

export async function problemIn(attempt: Promise<unknown>): Promise<FleetError> {
  const outcome = await attempt.then(
    () => 'it ended well',
    (error: unknown) => error,
  );
  if (outcome instanceof FleetError) return outcome;
  throw new Error(`Expected a FleetError, not ${String(outcome)}`);
}

export function signal(
  fleet: TestFleet,
  database: string,
  endpoint: Endpoint,
  name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL',
): void {
  process.kill(pidOf(fleet, database, endpoint), name);
}

/** Steps of a hand-over, as an attempt does them that is killed after the last one named. */
export const steps = {
  pause: (fleet: TestFleet, { leader }: DatabaseRecord, ms = 1_500): Promise<unknown> =>
    redisAt(fleet, leader, (redis) => redis.call('CLIENT', 'PAUSE', ms, 'WRITE')),
  demote: async (fleet: TestFleet, { database, leader, follower }: DatabaseRecord): Promise<void> => {
    if (follower === null) throw new Error('nobody to follow');
    await redisAt(fleet, leader, (redis) => redis.replicaof(follower.address, follower.port));
    const { position } = await fleet.facts(leader);
    await waitFor(async () => (await fleet.facts(follower)).position.offset >= position.offset, {
      deadlineMs: 60 * SECOND,
      what: `the follower of ${database} to have all`,
    });
  },
  promote: (fleet: TestFleet, { follower }: DatabaseRecord): Promise<unknown> => {
    if (follower === null) throw new Error('nobody to promote');
    return redisAt(fleet, follower, (redis) => redis.replicaof('NO', 'ONE'));
  },
};

/** The processes of both sides that lead, by host. */
export async function whoLeads(fleet: TestFleet, database: string): Promise<readonly string[]> {
  const { leader, follower } = await fleet.record(database);
  const both = [leader, follower].filter((one) => one !== null);
  const seen = await Promise.all(
    both.map(async (one) => {
      if (fleet.pidOf(database, one.host) === null) return [];
      return (await fleet.facts(one)).role === 'leader' ? [one.host] : [];
    }),
  );
  return seen.flat();
}

export function isReversed(before: DatabaseRecord, after: DatabaseRecord): boolean {
  return (
    before.follower !== null &&
    after.follower !== null &&
    sameEndpoint(after.leader, before.follower) &&
    sameEndpoint(after.follower, before.leader) &&
    after.epoch === before.epoch + 1
  );
}
