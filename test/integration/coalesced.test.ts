/** Compare-and-sets that travel together on a real Consul: each by itself is right or wrong, as if it had gone alone. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FleetConsul } from '../../src/connections/consul.js';
import { coalescedCompareAndSet } from '../../src/records/coalesced.js';
import { ABSENT, listEntries, readEntry } from '../../src/records/kv.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';

let server: TestConsul;
let consul: FleetConsul;

beforeAll(async () => {
  server = await startTestConsul();
  consul = server.consul;
});
afterAll(async () => {
  await server.stop();
});

const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `many/${count}/${at}`);

test('more than one transaction holds are all written', async () => {
  const write = coalescedCompareAndSet(consul);
  const answers = await Promise.all(many(150).map((key, at) => write(key, { at }, ABSENT)));
  expect(answers.every((written) => written)).toBe(true);
  const entries = await listEntries(consul, 'many/150/');
  expect(entries).toHaveLength(150);
  expect(entries.find(({ key }) => key === 'many/150/77')?.text).toBe('{"at":77}');
});

test('those that are too late do not hold up the others', async () => {
  const write = coalescedCompareAndSet(consul);
  const keys = many(20);
  // Exist already: nobody may write them as new.
  const late = [keys[3], keys[7], keys[19]].flatMap((key) => key ?? []);
  await Promise.all(late.map((key) => write(key, 'before', ABSENT)));
  const answers = await Promise.all(keys.map((key) => write(key, 'after', ABSENT)));
  expect(keys.filter((_, at) => answers[at] === false)).toEqual(late);
  for (const key of keys) {
    expect((await readEntry(consul, key))?.text).toBe(late.includes(key) ? '"before"' : '"after"');
  }
});

test('of those that want one key, one gets it', async () => {
  const write = coalescedCompareAndSet(consul);
  const answers = await Promise.all(many(10).map((key, at) => write(at < 5 ? 'one' : key, at, ABSENT)));
  expect(answers.slice(0, 5).filter((written) => written)).toHaveLength(1);
  expect(answers.slice(5).every((written) => written)).toBe(true);
});

test('all of them hear of an outage', async () => {
  await server.kill();
  const write = coalescedCompareAndSet(consul);
  const answers = await Promise.allSettled(many(3).map((key) => write(key, 1, ABSENT)));
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
});
