import { once } from 'node:events';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connectFleet, OutcomeUnknown, TransactionLost } from '../../src/client/index.js';
import type { DatabaseOptions, FleetConnection } from '../../src/client/index.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { DATABASE, FLEET, PASSWORD, promote, startStage, switchOver, type Stage } from './clientStage.js';

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

function settled(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => null,
    (error: unknown) => error,
  );
}

/** Runs while writes are paused, so that what it sends meets the change of leader under way. */
async function duringSwitchOver(send: () => void): Promise<void> {
  await stage.a.admin.client('PAUSE', 1_500, 'WRITE');
  send();
  await waitFor(async () => /blocked_clients:[1-9]/.test(await stage.a.admin.info('clients')), {
    deadlineMs: 30_000,
    everyMs: 2,
    what: 'what was sent to wait',
  });
  await switchOver(stage, stage.a, stage.b);
}

describe('pipelines', () => {
  test('of one that meets a switchover every write is executed once, and in order', async () => {
    const redis = client();
    await redis.ping();
    let answers: Promise<[error: Error | null, result: unknown][] | null> = Promise.resolve(null);
    await duringSwitchOver(() => {
      answers = redis.pipeline().incr('n').append('n', '0').incr('n').exec();
    });
    expect(await answers).toEqual([
      [null, 1],
      [null, 2],
      [null, 11],
    ]);
  });

  test('one that hangs on a frozen leader: every command of it says that nobody knows', async () => {
    const redis = client();
    await redis.ping();
    stage.a.freeze();
    const answers = redis.pipeline().incr('n').set('k', 'v').exec();
    await promote(stage, stage.b);
    expect((await answers)?.map(([error]) => error)).toEqual([
      expect.objectContaining({ name: 'OutcomeUnknown', command: 'incr' }),
      expect.objectContaining({ name: 'OutcomeUnknown', command: 'set' }),
    ]);
  });

  test('told to retry, it is sent again', async () => {
    const redis = client({ onInterrupted: 'retry', enableAutoPipelining: true });
    await redis.ping();
    stage.a.freeze();
    const answers = Promise.all([redis.incr('n'), redis.incr('n'), redis.get('n')]);
    await promote(stage, stage.b);
    expect(await answers).toEqual([1, 2, '2']);
  });
});

describe('transactions', () => {
  test('one that meets a switchover is executed on the new leader, as a whole', async () => {
    const redis = client();
    await redis.ping();
    let answers: Promise<[error: Error | null, result: unknown][] | null> = Promise.resolve(null);
    await duringSwitchOver(() => {
      answers = redis.multi().incr('n').get('n').incr('n').exec();
    });
    expect(await answers).toEqual([
      [null, 1],
      [null, '1'],
      [null, 2],
    ]);
    expect(await stage.b.admin.get('n')).toBe('2');
  });

  test('one that is begun after the leader was demoted, and before the record says so, too', async () => {
    const redis = client();
    await redis.ping();
    await stage.a.admin.replicaof(stage.b.endpoint.address, stage.b.endpoint.port);
    const answers = redis.multi().incr('n').get('n').exec();
    await stage.b.admin.replicaof('NO', 'ONE');
    await stage.changeRecord(stage.b, stage.a);
    expect(await answers).toEqual([
      [null, 1],
      [null, '1'],
    ]);
  });

  test('one that is sent step by step goes on where the leader goes', async () => {
    const redis = client();
    await redis.multi({ pipeline: false });
    await redis.incr('n');
    await switchOver(stage, stage.a, stage.b);
    await waitFor(() => stage.b.clients().then((count) => count === 1), {
      deadlineMs: 30_000,
      what: 'the move',
    });
    await redis.incr('n');
    expect(await redis.exec()).toEqual([
      [null, 1],
      [null, 2],
    ]);
  });

  test('what was watched on the old leader is not watched on the new: nothing is executed', async () => {
    const redis = client();
    await redis.watch('n');
    await switchOver(stage, stage.a, stage.b);
    await waitFor(() => stage.b.clients().then((count) => count === 1), {
      deadlineMs: 30_000,
      what: 'the move',
    });
    const error = await settled(redis.multi().incr('n').exec());

    expect(error).toBeInstanceOf(TransactionLost);
    expect(error).toMatchObject({ outcome: 'not executed' });
    expect(await redis.get('n')).toBeNull();
    await redis.watch('n');
    expect(await redis.multi().incr('n').exec()).toEqual([[null, 1]]);
  });

  test('one whose EXEC hangs on a frozen leader: nobody knows', async () => {
    const redis = client();
    await redis.ping();
    stage.a.freeze();
    const error = settled(redis.multi().incr('n').exec());
    await promote(stage, stage.b);
    expect(await error).toBeInstanceOf(OutcomeUnknown);
  });
});

describe('commands that block', () => {
  test('one that waits for an element goes on waiting at the new leader', async () => {
    const redis = client();
    const popped = redis.blpop('queue', 0);
    await waitFor(async () => (await stage.a.admin.info('clients')).includes('blocked_clients:1'), {
      deadlineMs: 30_000,
      what: 'it to wait',
    });
    await switchOver(stage, stage.a, stage.b);
    await client().rpush('queue', 'element');
    expect(await popped).toEqual(['queue', 'element']);
  });

  test('on a frozen leader it fails, or is sent again, as it was told', async () => {
    const [fails, retries] = [client(), client({ onInterrupted: 'retry' })];
    const [error, popped] = [settled(fails.blpop('queue', 0)), retries.blpop('queue', 0)];
    await waitFor(async () => (await stage.a.admin.info('clients')).includes('blocked_clients:2'), {
      deadlineMs: 30_000,
      what: 'both to wait',
    });
    stage.a.freeze();
    await promote(stage, stage.b);
    expect(await error).toBeInstanceOf(OutcomeUnknown);
    await client().rpush('queue', 'element');
    expect(await popped).toEqual(['queue', 'element']);
  });
});

describe('subscriptions', () => {
  test('are made again at the new leader; what was published in between is gone', async () => {
    const subscriber = client();
    const heard: string[] = [];
    subscriber.on('message', (_channel, message) => heard.push(message));
    subscriber.on('pmessage', (_pattern, _channel, message) => heard.push(message));
    await subscriber.subscribe('news', 'more news');
    await subscriber.psubscribe('old*');
    await switchOver(stage, stage.a, stage.b);
    await waitFor(async () => Number(await stage.b.admin.pubsub('NUMPAT')) === 1, {
      deadlineMs: 30_000,
      what: 'the move',
    });
    await stage.b.admin.publish('news', 'one');
    await stage.b.admin.publish('more news', 'two');
    await stage.b.admin.publish('old news', 'three');
    await waitFor(() => heard.length === 3, { deadlineMs: 30_000, what: 'three messages' });
    expect(heard).toEqual(['one', 'two', 'three']);
  });

  test('one under way when the leader hangs is made at the next', async () => {
    const subscriber = client();
    await subscriber.ping();
    stage.a.freeze();
    const subscribed = subscriber.subscribe('news', 'more news');
    await promote(stage, stage.b);
    expect(await subscribed).toBe(2);
    expect(await stage.b.admin.pubsub('NUMSUB', 'news', 'more news')).toEqual(['news', 1, 'more news', 1]);
  });
});

describe('an ordinary ioredis client', () => {
  test('the chosen database number, key prefix and scripts move along', async () => {
    const scripts = { twice: { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], 2)" } };
    const redis = client({ db: 3, keyPrefix: 'mine:', scripts }) as Redis & {
      twice(key: string): Promise<number>;
    };
    expect(await redis.twice('n')).toBe(2);
    await redis.select(4);
    await redis.set('in four', 'yes');
    await switchOver(stage, stage.a, stage.b);
    expect(await redis.get('in four')).toBe('yes');
    await redis.select(3);
    expect(await redis.twice('n')).toBe(4);
    await stage.b.admin.select(3);
    expect(await stage.b.admin.get('mine:n')).toBe('4');
    await stage.b.admin.select(0);
  });

  test('a duplicate finds the leader, too', async () => {
    const redis = client();
    await redis.set('k', 'v');
    const other = redis.duplicate();
    expect(await other.get('k')).toBe('v');
    await switchOver(stage, stage.a, stage.b);
    expect(await other.set('k', 'w')).toBe('OK');
  });

  test('a wrong password fails at once, with what Redis said', async () => {
    const redis = client({ password: 'wrong' });
    const error = await settled(redis.get('k'));
    expect(String(error)).toContain('WRONGPASS');
  });

  test('errors of a command stay what they are', async () => {
    const redis = client();
    await redis.set('text', 'x');
    const error = await settled(redis.incr('text'));
    expect(error).toMatchObject({ name: 'ReplyError' });
    expect(String(error)).toContain('not an integer');
  });

  test('commandTimeout holds while it waits for a leader, and what timed out is not executed later', async () => {
    const redis = client({ commandTimeout: 200 });
    await redis.ping();
    await stage.a.kill();
    expect(String(await settled(redis.set('late', 'yes')))).toContain('timed out');
    await promote(stage, stage.b);
    const again = client();
    expect(await again.get('late')).toBeNull();
  });

  test('quit waits for answers; nothing is accepted afterwards, until it connects again', async () => {
    const redis = client();
    const value = redis.set('k', 'v');
    const ended = once(redis, 'end');
    expect(await redis.quit()).toBe('OK');
    expect(await value).toBe('OK');
    expect(String(await settled(redis.get('k')))).toContain('Connection is closed');
    await ended;
    await redis.connect();
    expect(await redis.get('k')).toBe('v');
    await switchOver(stage, stage.a, stage.b);
    expect(await redis.set('k', 'w')).toBe('OK');
  });
});
