import { expect, test } from 'vitest';
import type { Redis } from '../../src/connections/redis.js';
import { pulses } from '../../src/host/pulse.js';
import type { ProcessWatch } from '../../src/host/watching.js';

const ENDPOINT = { host: 'redis-01-a', address: '127.0.0.1', port: 6300 };
const PID = 4711;
const INFO = ['run_id:r1', 'loading:0', 'role:master', 'master_replid:a', 'master_repl_offset:7', ''].join(
  '\r\n',
);

/**
 * A process that is a fake: that its last answer and its end are read in the same turn of the event loop, in this order,
 * happens once in a thousand deaths on a busy machine, and cannot be staged with a real one.
 */
function stage() {
  let answer: (info: string) => void = () => undefined;
  let alive = true;
  const redis = {
    info: () => new Promise<string>((resolve) => (answer = resolve)),
    config: () => Promise.resolve(['min-replicas-to-write', '0']),
  } as unknown as Redis;
  const watch: ProcessWatch = {
    connection: () => Promise.resolve(redis),
    facts: () => Promise.resolve({ facts: null, why: 'nobody asks' }),
    drop: () => undefined,
    close: () => undefined,
  };
  const seen = pulses({
    credentials: { administrator: 'a', replication: 'r', application: 'b' },
    clock: () => performance.now(),
    downAfter: () => 1_000,
    own: watch,
    stillRuns: () => alive,
    onChange: () => undefined,
  });
  return { seen, answers: () => answer(INFO), dies: () => (alive = false) };
}

test('a process that answers, and whose end is seen before that answer is, is gone and stays gone', async () => {
  const { seen, answers, dies } = stage();
  seen.watchOwn([
    { database: 'db', endpoint: ENDPOINT, state: 'running', pid: PID, residentMemory: 1, lastWords: null },
  ]);
  // The question is under way.
  await new Promise(setImmediate);
  answers();
  dies();
  seen.ended('db');
  expect(seen.own()).toMatchObject([{ pulse: 'gone', pid: null }]);
  await new Promise(setImmediate);
  expect(seen.own()).toMatchObject([{ pulse: 'gone', pid: null }]);
  seen.close();
});

test('one that lives is up, by the same answer', async () => {
  const { seen, answers } = stage();
  seen.watchOwn([
    { database: 'db', endpoint: ENDPOINT, state: 'running', pid: PID, residentMemory: 1, lastWords: null },
  ]);
  await new Promise(setImmediate);
  answers();
  await new Promise(setImmediate);
  expect(seen.own()).toMatchObject([{ pulse: 'up', pid: PID, runId: 'r1' }]);
  seen.close();
});
