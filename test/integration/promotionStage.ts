/** What the stories of promotions share: starting one, its end, and what every one of them must leave behind. */

import process from 'node:process';
import { expect } from 'vitest';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import type { PromotionOutcome } from '../../src/fleet/promotion.js';
import { sameEndpoint } from '../../src/fleet/record.js';
import type { DatabaseRecord, Endpoint } from '../../src/fleet/record.js';
import type { PromoteFollowerRequest } from '../../src/fleet/requests.js';
import type { RunbookState } from '../../src/fleet/runbook.js';
import { leaseStore } from '../../src/records/leases.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import type { PromotedFollowers } from '../../src/workflows/promoteFollower.js';
import { pidOf, SECOND } from './bringUpStage.js';

export async function promote(
  fleet: TestFleet,
  request: PromoteFollowerRequest,
  name = request.database ?? request.host ?? request.zone ?? 'several',
): Promise<string> {
  const subject = { fleet: fleet.dev.fleet.name };
  const started = await startRunbook(fleet.dev.temporal, 'promoteFollower', name, request, subject);
  expect(started.wasRunning).toBe(false);
  return started.workflowId;
}

/** As a watch asks for it: it has seen the leaders silent. */
export function detected(...databases: readonly string[]): Pick<PromoteFollowerRequest, 'detected'> {
  const why = Object.fromEntries(
    databases.map((database) => [database, `The leader of ${database} is silent.`]),
  );
  return { detected: { by: 'watchServer/test', why } };
}

export type Promoted = PromotedFollowers & { readonly runbook: RunbookState };

/** The end of one that came to its end. */
export async function promoted(fleet: TestFleet, workflowId: string): Promise<Promoted> {
  const end = await runbookEnd(fleet.dev.temporal, { workflowId });
  if (end.how !== 'well') throw new Error(`${workflowId} failed (${end.kind}): ${end.problem}`);
  if (end.runbook === null) throw new Error(`${workflowId} left no state`);
  return { ...(end.result as PromotedFollowers), runbook: end.runbook };
}

export function outcomeOf<O extends PromotionOutcome['outcome']>(
  { outcomes }: PromotedFollowers,
  database: string,
  outcome: O,
): Extract<PromotionOutcome, { outcome: O }> {
  const found = outcomes.find((one) => one.database === database);
  expect(found).toMatchObject({ outcome });
  return found as Extract<PromotionOutcome, { outcome: O }>;
}

/** Follows the record, as an application does. */
export async function startFollowingWriter(
  fleet: TestFleet,
  database: string,
  { rate = 500, answerWithinMs = 250 }: { readonly rate?: number; readonly answerWithinMs?: number } = {},
): Promise<Writer> {
  const locate = async (): Promise<Endpoint> => (await fleet.record(database)).leader;
  const writer = Writer.start({ ...fleet.application, locate, rate, answerWithinMs });
  await writes(writer);
  return writer;
}

/** Until it was acknowledged another few writes. */
export async function writes(writer: Writer, more = 20): Promise<void> {
  const before = writer.counts.acknowledged;
  await waitFor(() => writer.counts.acknowledged >= before + more, {
    deadlineMs: 60 * SECOND,
    everyMs: 10,
    what: 'writes to be acknowledged',
  });
}

/** Until the agent of its host has published that the leader had come so far. */
export async function leaseKnows(
  fleet: TestFleet,
  database: string,
  leader: Endpoint,
  offset: number,
): Promise<void> {
  const leases = leaseStore(fleet.dev.consul, fleet.dev.fleet.name);
  await waitFor(
    async () =>
      ((await leases.read(leader.host))?.lease.processes[database]?.position?.offset ?? 0) >= offset,
    { deadlineMs: 60 * SECOND, what: `the lease of ${leader.host} to tell the position of ${database}` },
  );
}

/** `address:port` of every instance with the tag `leader`. */
export async function leadersInCatalog(fleet: TestFleet, database: string): Promise<readonly string[]> {
  const answer: unknown = await fleet.dev.consul.call('list leaders', (client) =>
    client.catalog.service.nodes({ service: database, tag: 'leader' }),
  );
  const entries = answer as readonly { ServiceAddress: string; ServicePort: number }[];
  return entries.map(({ ServiceAddress, ServicePort }) => `${ServiceAddress}:${ServicePort}`);
}

export function signal(fleet: TestFleet, database: string, at: Endpoint, name: NodeJS.Signals): number {
  const pid = pidOf(fleet, database, at);
  process.kill(pid, name);
  return pid;
}

/** The record names the follower of before, the next epoch, nobody as owner, and why. */
export function expectPromoted(before: DatabaseRecord, after: DatabaseRecord): void {
  const { follower } = before;
  if (follower === null) throw new Error(`${before.database} had no follower`);
  expect(sameEndpoint(after.leader, follower)).toBe(true);
  expect(after.epoch).toBe(before.epoch + 1);
  expect(after.operation).toBeUndefined();
  expect(after.follower).toBeNull();
  expect(after.promotion).toMatchObject({ from: before.leader });
}
