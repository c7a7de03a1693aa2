/** What the stories of watches share: what the watch says, what it started, and how leaders are made to fail. */

import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { LeaderVerdict } from '../../src/fleet/failure.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import type { WatchedDatabase, WatchView } from '../../src/fleet/watchView.js';
import { watchStore } from '../../src/records/watches.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { pidOf, SECOND } from './bringUpStage.js';
import { cli, type CliRun } from './cliRunner.js';

export const SERVER = 'redis-01';

/** What the watch published last. */
export function viewOf(fleet: TestFleet): Promise<WatchView | null> {
  return watchStore(fleet.dev.consul, fleet.dev.fleet.name).read(SERVER);
}

export async function seenOf(fleet: TestFleet, database: string): Promise<WatchedDatabase | null> {
  const view = await viewOf(fleet);
  return view?.databases.find((one) => one.database === database) ?? null;
}

export async function untilSeen(
  fleet: TestFleet,
  database: string,
  state: LeaderVerdict['state'],
  holds: (seen: WatchedDatabase) => boolean = () => true,
): Promise<WatchedDatabase> {
  return await waitFor(
    async () => {
      const seen = await seenOf(fleet, database);
      return seen?.verdict.state === state && holds(seen) ? seen : null;
    },
    { deadlineMs: 30 * SECOND, what: `the watch to say that ${database} is ${state}`, everyMs: 20 },
  );
}

export function why(fleet: TestFleet, database: string): Promise<CliRun> {
  return cli(fleet.dev.env, ['why', database]);
}

export async function run(fleet: TestFleet, ...parameters: readonly string[]): Promise<CliRun> {
  const ended = await cli(fleet.dev.env, parameters);
  if (ended.code !== 0) throw new Error(`redis-fleet ${parameters.join(' ')}: ${ended.out}${ended.err}`);
  return ended;
}

/** Changes the fleet file as a person would, and applies it. */
export async function reapply(fleet: TestFleet, from: string | RegExp, to: string): Promise<void> {
  const file = fleet.dev.env['REDIS_FLEET_FILE'] ?? '';
  const text = readFileSync(file, 'utf8');
  const changed = text.replace(from, to);
  if (changed === text) throw new Error(`The fleet file has no ${String(from)}.`);
  writeFileSync(file, changed);
  await run(fleet, 'apply');
}

export interface Started {
  readonly workflowId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly status: string;
}

/** Null: no such promotion was ever started. */
export async function promotion(fleet: TestFleet, name: string): Promise<Started | null> {
  const workflowId = `promoteFollower/${name}`;
  try {
    const { startTime, status } = await fleet.dev.temporal.workflow.getHandle(workflowId).describe();
    return { workflowId, at: startTime.getTime(), status: status.name };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

export function promotionStarted(fleet: TestFleet, name: string): Promise<Started> {
  const what = `promoteFollower/${name} to be started`;
  return waitFor(() => promotion(fleet, name), { deadlineMs: 30 * SECOND, what, everyMs: 20 });
}

/** @returns the record, and how long it took from now. Milliseconds */
export async function untilPromoted(
  fleet: TestFleet,
  before: DatabaseRecord,
): Promise<{ readonly record: DatabaseRecord; readonly ms: number }> {
  const began = performance.now();
  const record = await waitFor(
    async () => {
      const now = await fleet.record(before.database);
      return now.epoch > before.epoch ? now : null;
    },
    { deadlineMs: 60 * SECOND, what: `the follower of ${before.database} to be promoted`, everyMs: 10 },
  );
  return { record, ms: performance.now() - began };
}

/** @returns when: milliseconds since 1970 */
export async function signalLeader(
  fleet: TestFleet,
  database: string,
  signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT',
): Promise<number> {
  const pid = pidOf(fleet, database, await fleet.leader(database));
  const at = Date.now();
  process.kill(pid, signal);
  return at;
}

/** A figure for whoever reads the test's output. */
export function tell(line: string): void {
  process.stdout.write(`  ${line}\n`);
}

/** Long enough for everything that a watch would do by mistake. */
export async function whileNothingIsDone(
  fleet: TestFleet,
  before: DatabaseRecord,
  ms: number,
): Promise<void> {
  const until = performance.now() + ms;
  await waitFor(
    async () => {
      const { epoch, leader } = await fleet.record(before.database);
      if (epoch !== before.epoch) throw new Error(`${before.database} is led by ${leader.host} now`);
      return performance.now() > until;
    },
    { deadlineMs: ms + 10 * SECOND, what: 'time to pass', everyMs: 100 },
  );
  const started = await promotion(fleet, before.database);
  if (started !== null) throw new Error(`${started.workflowId} was started`);
}
