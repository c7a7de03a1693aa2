/** All that a host leads fails at once, and is promoted by one runbook. */

import process from 'node:process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { detected, expectPromoted, leaseKnows, promote, promoted, signal } from './promotionStage.js';

const AT_ONCE = 16;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: AT_ONCE + 2,
    maxmemory: '8MiB',
    name: 'at-once',
  });
});
afterAll(async () => {
  await fleet.stop();
});

/** Milliseconds from the start of the runbook until the last record had changed. */
async function failAndPromote(databases: readonly string[], name: string): Promise<number> {
  const before = await Promise.all(databases.map((database) => fleet.record(database)));
  for (const { database, leader } of before) {
    await leaseKnows(fleet, database, leader, 1);
    signal(fleet, database, leader, 'SIGKILL');
  }
  const began = Date.now();
  const end = await promoted(fleet, await promote(fleet, { databases, ...detected(...databases) }, name));
  expect(end.outcomes.map(({ outcome }) => outcome)).toEqual(databases.map(() => 'promoted'));
  const after = await Promise.all(databases.map((database) => fleet.record(database)));
  const pairs = before.flatMap((old, at): [DatabaseRecord, DatabaseRecord][] => {
    const now = after[at];
    return now === undefined ? [] : [[old, now]];
  });
  expect(pairs).toHaveLength(databases.length);
  for (const [old, now] of pairs) expectPromoted(old, now);
  return Math.max(...after.map(({ promotion }) => Date.parse(promotion?.at ?? ''))) - began;
}

test(`${AT_ONCE} leaders at once are promoted by one runbook, none without its record`, async () => {
  const [first = '', second = '', ...others] = fleet.databases;
  // The first of a worker pays for what it had not loaded yet.
  const figures = [
    await failAndPromote([first], 'first'),
    await failAndPromote([second], 'second'),
    await failAndPromote(others, 'others'),
  ];
  process.stdout.write(`Last record after ms, of 1, 1 and ${others.length}: ${figures.join(', ')}\n`);
  expect(others).toHaveLength(AT_ONCE);
});
