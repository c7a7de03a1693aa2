import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectFleet, NoLeader, OutcomeUnknown } from '../../src/client/index.js';
import type { DatabaseOptions, FleetConnection } from '../../src/client/index.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { Writer } from '../../src/testbed/writer.js';
import { DATABASE, FLEET, PASSWORD, promote, startStage, switchOver, type Stage } from './clientStage.js';

const REFUSED = { deadlineMs: 2_000, everyMs: 5, what: 'a write to be refused' };

let stage: Stage;
let fleet: FleetConnection;

beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage.stop());

beforeEach(async () => {
  await stage.begin();
  fleet = connectFleet({ fleet: FLEET, consul: stage.consul.consul });
});
afterEach(() => fleet.close());

function client(options: DatabaseOptions = {}): Redis {
  return fleet.redis(DATABASE, { password: PASSWORD, ...options });
}

async function writing(options: DatabaseOptions = {}): Promise<Writer> {
  const writer = Writer.start({ open: () => client(options), password: PASSWORD, rate: 'full' });
  await more(writer);
  return writer;
}

async function more(writer: Writer): Promise<void> {
  const { acknowledged } = writer.counts;
  await waitFor(() => writer.counts.acknowledged > acknowledged + 500, {
    deadlineMs: 30_000,
    everyMs: 5,
    what: 'writes to go on',
  });
}

/** The longest time without an acknowledgement while `work` runs and until writes go on. Milliseconds. */
async function outageDuring(writer: Writer, work: () => Promise<void>): Promise<number> {
  let [longest, last, count] = [0, performance.now(), writer.counts.acknowledged];
  let watching = true;
  const look = (): void => {
    const now = performance.now();
    if (writer.counts.acknowledged !== count) {
      [longest, last, count] = [Math.max(longest, now - last), now, writer.counts.acknowledged];
    }
    if (watching) setImmediate(look);
  };
  look();
  await work();
  await more(writer);
  watching = false;
  return longest;
}

function settled(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  );
}

describe('a planned switchover, under a writer at full speed', () => {
  test('twenty times: nothing fails, nothing is lost, and the client adds little to what the switchover takes', async () => {
    const writer = await writing();
    const [outages, took]: [number[], number[]] = [[], []];
    for (let n = 0; n < 20; n++) {
      const [from, to] = n % 2 === 0 ? [stage.a, stage.b] : [stage.b, stage.a];
      const outage = await outageDuring(writer, async () => {
        const began = performance.now();
        await switchOver(stage, from, to);
        took.push(performance.now() - began);
      });
      outages.push(outage);
      expect(await from.clients()).toBe(0);
    }
    const counts = await writer.stop();

    expect(counts).toMatchObject({ failed: 0, problems: [] });
    expect(await writer.verify(stage.a.endpoint)).toMatchObject({ lost: 0 });
    // Alone on a machine it is 5 ms; whoever only tries the old one again takes longer than this.
    expect(median(outages) - median(took)).toBeLessThan(250);
  });

  test('commands that nobody waits for are executed once and in their order', async () => {
    const redis = client();
    let sent = 0;
    const answers: Promise<unknown>[] = [];
    const burst = setInterval(() => {
      for (let n = 0; n < 40; n++) answers.push(redis.rpush('numbers', sent++));
    }, 1);
    await waitFor(() => sent > 1_000, { deadlineMs: 30_000, what: 'some to be sent' });
    for (let n = 0; n < 6; n++) {
      const [from, to] = n % 2 === 0 ? [stage.a, stage.b] : [stage.b, stage.a];
      const before = sent;
      await switchOver(stage, from, to);
      await waitFor(() => sent > before + 1_000, { deadlineMs: 30_000, everyMs: 5, what: 'more to be sent' });
    }
    clearInterval(burst);
    await Promise.all(answers);

    const numbers = (await redis.lrange('numbers', 0, -1)).map(Number);
    expect(numbers).toEqual(Array.from({ length: sent }, (_, at) => at));
  });

  test('one that is undone after the old leader was demoted: writes wait, and go on where they were', async () => {
    const writer = await writing();
    await stage.a.admin.replicaof(stage.b.endpoint.address, stage.b.endpoint.port);
    await waitFor(async () => (await stage.a.refusals()) > 0, REFUSED);
    const { acknowledged } = writer.counts;
    await stage.a.admin.replicaof('NO', 'ONE');
    await more(writer);
    const counts = await writer.stop();

    expect(counts.acknowledged).toBeGreaterThan(acknowledged);
    expect(counts.failed).toBe(0);
    expect(await writer.verify(stage.a.endpoint)).toMatchObject({ lost: 0 });
  });
});

describe('the leader crashes', () => {
  test('what was under way fails with OutcomeUnknown, what came later waits for the next leader', async () => {
    const writer = await writing();
    await stage.a.kill();
    const late = client();
    const waiting = late.set('issued', 'while nobody leads');
    await promote(stage, stage.b);
    expect(await waiting).toBe('OK');
    await more(writer);
    const counts = await writer.stop();

    expect(counts.failed).toBeLessThanOrEqual(256);
    expect(
      counts.problems.every((problem) => problem.startsWith('SET was sent to the leader of sessions-00')),
    ).toBe(true);
  });

  test('told to retry, every command is acknowledged in the end', async () => {
    const writer = await writing({ onInterrupted: 'retry' });
    await stage.a.kill();
    const outage = await outageDuring(writer, () => promote(stage, stage.b));
    const counts = await writer.stop();

    expect(counts.failed).toBe(0);
    expect(counts.acknowledged).toBe(counts.issued);
    expect(outage).toBeLessThan(5_000);
  });

  test('nobody follows: commands fail with NoLeader after their time, and say what is known', async () => {
    const redis = client({ maxWaitMs: 300 });
    await redis.ping();
    await stage.a.kill();
    const began = performance.now();
    const error = await settled(redis.set('nobody', 'takes it'));

    expect(error).toBeInstanceOf(NoLeader);
    expect(error).toMatchObject({
      database: DATABASE,
      command: 'set',
      outcome: 'not executed',
      waitedMs: 300,
    });
    expect(String(error)).toContain(`the record names redis-01-a (${stage.a.endpoint.address}:6300)`);
    expect(String(error)).toContain(`redis-fleet why ${DATABASE}`);
    expect(performance.now() - began).toBeLessThan(8_000);
  });

  test('a dead leader is tried ever more rarely, and the next one at once', async () => {
    const redis = client();
    await redis.ping();
    let attempts = 0;
    redis.on('connecting', () => attempts++);
    const second = waitFor(() => false, { deadlineMs: 1_000, what: 'a second to pass' });
    await stage.a.kill();
    await settled(second);
    expect(attempts).toBeLessThan(12);

    await promote(stage, stage.b);
    const began = performance.now();
    await redis.set('there', 'again');
    expect(performance.now() - began).toBeLessThan(600);
  });
});

describe('the leader hangs', () => {
  test('what hangs on it is given up as soon as the record names another, and never comes back', async () => {
    const writer = await writing();
    stage.a.freeze();
    const outage = await outageDuring(writer, () => promote(stage, stage.b));
    const { failed } = writer.counts;
    expect(failed).toBeGreaterThan(0);
    expect(failed).toBeLessThanOrEqual(256);
    expect(outage).toBeLessThan(5_000);

    stage.a.thaw();
    await more(writer);
    expect(await stage.a.clients()).toBe(0);
    const counts = await writer.stop();
    expect(counts.failed).toBe(failed);
    expect(await writer.verify(stage.b.endpoint)).toMatchObject({ lost: 0 });
  });

  test('the error names the database, the command and that nobody knows', async () => {
    const redis = client();
    await redis.ping();
    stage.a.freeze();
    const hanging = settled(redis.incr('counter'));
    await promote(stage, stage.b);
    const error = await hanging;

    expect(error).toBeInstanceOf(OutcomeUnknown);
    expect(error).toMatchObject({
      database: DATABASE,
      command: 'incr',
      outcome: 'unknown',
      name: 'OutcomeUnknown',
    });
    expect(await redis.incr('counter')).toBe(1);
  });
});

describe('a leader that may not be written to', () => {
  test('fenced: writes wait until it is let again', async () => {
    const writer = await writing();
    await stage.a.admin.config('SET', 'min-replicas-to-write', '99');
    const { acknowledged } = writer.counts;
    await waitFor(async () => (await stage.a.refusals()) > 0, REFUSED);
    await stage.a.admin.config('SET', 'min-replicas-to-write', '0');
    await more(writer);
    const counts = await writer.stop();

    expect(counts.acknowledged).toBeGreaterThan(acknowledged);
    expect(counts.failed).toBe(0);
  });

  test('fenced for too long: NoLeader, with what Redis said', async () => {
    await stage.a.admin.config('SET', 'min-replicas-to-write', '99');
    const error = await settled(client({ maxWaitMs: 300 }).set('not', 'now'));

    expect(error).toBeInstanceOf(NoLeader);
    expect(String(error)).toContain('NOREPLICAS');
    expect(error).toMatchObject({ outcome: 'not executed', cause: { name: 'ReplyError' } });
  });

  test('fenced, and another takes over: the writes go there', async () => {
    const writer = await writing();
    await stage.a.admin.config('SET', 'min-replicas-to-write', '99');
    await promote(stage, stage.b);
    await more(writer);
    const counts = await writer.stop();

    expect(counts.failed).toBe(0);
    expect(await writer.verify(stage.b.endpoint)).toMatchObject({ lost: 0 });
  });

  test('loading its data: commands wait until it has them', async () => {
    await stage.a.admin.config('SET', 'save', '');
    for (let n = 0; n < 300; n++) stage.a.admin.set(`key:${n}`, n).catch(() => undefined);
    await stage.a.admin.save();
    await stage.a.kill();
    const redis = client();
    const value = redis.get('key:299');
    // 300 keys at 2 ms each.
    const started = stage.a.start(
      '--key-load-delay',
      '2000',
      '--loading-process-events-interval-bytes',
      '1024',
    );
    expect(await value).toBe('299');
    await started;
  });
});

function median(figures: readonly number[]): number {
  return figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN;
}
