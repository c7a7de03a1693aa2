import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { RecordFeed } from '../../src/client/recordFeed.js';
import type { FleetConsul } from '../../src/connections/consul.js';
import { consulKeys } from '../../src/fleet/names.js';
import type { Entry } from '../../src/records/kv.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';
import { waitFor } from '../../src/testbed/waiting.js';

let stage: TestConsul;
const feeds: RecordFeed[] = [];

beforeAll(async () => {
  stage = await startTestConsul({ durable: true });
});
afterEach(() => {
  for (const feed of feeds.splice(0)) feed.close();
});
afterAll(() => stage.stop());

/** A fleet of its own for each test, and what a client that uses some of its databases is told. */
class Told {
  readonly fleet = `fleet-${randomBytes(4).toString('hex')}`;
  readonly texts = new Map<string, (string | null)[]>();
  problems = 0;
  readonly #keys = consulKeys(this.fleet);
  /** Blocking queries that were asked. */
  queries = 0;
  readonly feed: RecordFeed;

  constructor() {
    const counted: FleetConsul = {
      ...stage.consul,
      call: (what, request, ...more) => {
        this.queries += 1;
        return stage.consul.call(what, request, ...more);
      },
    };
    this.feed = new RecordFeed(counted, this.fleet);
    feeds.push(this.feed);
  }

  follow(databases: readonly string[]): void {
    for (const database of databases) {
      const texts: (string | null)[] = [];
      this.texts.set(database, texts);
      this.feed.follow(database, {
        onEntry: (entry: Entry | null) => texts.push(entry?.text ?? null),
        onProblem: () => (this.problems += 1),
        onEnd: (error) => texts.push(String(error)),
      });
    }
  }

  async write(databases: readonly string[], text: string): Promise<void> {
    const operations = databases.map((database) => ({
      KV: { Verb: 'set', Key: this.#keys.database(database), Value: Buffer.from(text).toString('base64') },
    }));
    await stage.consul.call('write', (client) => client.transaction.create(operations as never));
  }

  async remove(database: string): Promise<void> {
    await stage.consul.call('remove', (client) => client.kv.del(this.#keys.database(database)));
  }

  async hear(databases: readonly string[], text: string | null): Promise<void> {
    await waitFor(() => databases.every((database) => this.texts.get(database)?.at(-1) === text), {
      deadlineMs: 30_000,
      everyMs: 5,
      what: `all to be told ${text ?? 'that there is none'}`,
    });
  }
}

function names(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `db-${String(index + from)}`);
}

test('a client of many databases hears of a change of all by one answer', async () => {
  const told = new Told();
  const all = names(32);
  await told.write(all, 'one');
  told.follow(all);
  await told.hear(all, 'one');
  // Until the one query for all has taken the place of the others.
  let turn = 0;
  await waitFor(
    async () => {
      const before = told.queries;
      await told.write(all, `turn ${String(++turn)}`);
      await told.hear(all, `turn ${String(turn)}`);
      return told.queries - before <= 2;
    },
    { deadlineMs: 30_000, what: 'one query for all' },
  );
});

test('whoever is not concerned is told nothing', async () => {
  const told = new Told();
  const all = names(16);
  await told.write(all, 'one');
  told.follow(all);
  await told.hear(all, 'one');
  for (let turn = 0; turn < 20; turn++) {
    await told.write(['db-3'], `turn ${String(turn)}`);
    await told.hear(['db-3'], `turn ${String(turn)}`);
  }
  // Once when it began, and once more when the query for all took over.
  expect(told.texts.get('db-4')?.length).toBeLessThanOrEqual(2);
});

test('one that is created, deleted or followed later is no exception', async () => {
  const told = new Told();
  const all = names(12);
  await told.write(all.slice(0, 10), 'one');
  told.follow(all);
  await told.hear(all.slice(0, 10), 'one');
  await told.hear(all.slice(10), null);
  await told.write(all.slice(10), 'new');
  await told.hear(all.slice(10), 'new');
  await told.remove('db-0');
  await told.hear(['db-0'], null);
  await told.write(['db-0'], 'again');
  await told.hear(['db-0'], 'again');
  const later = names(3, 20);
  await told.write(later, 'later');
  told.follow(later);
  await told.hear(later, 'later');
  await told.write(all, 'last');
  await told.hear(all, 'last');
});

test('a client that uses a tenth of a fleet does not read all of it', async () => {
  const told = new Told();
  const fleet = names(100);
  const own = fleet.slice(0, 10);
  for (let from = 0; from < 100; from += 50) await told.write(fleet.slice(from, from + 50), 'one');
  told.follow(own);
  await told.hear(own, 'one');
  // Its one look at all of them.
  await waitFor(() => told.queries > 2 * own.length, {
    deadlineMs: 30_000,
    what: 'a query for each, and the one',
  });
  const before = told.queries;
  for (let turn = 0; turn < 10; turn++) await told.write(fleet.slice(50), `turn ${String(turn)}`);
  await told.write(own, 'two');
  await told.hear(own, 'two');
  expect(told.queries - before).toBeLessThanOrEqual(own.length);
});

test('after an outage of Consul all hear what changed meanwhile', async () => {
  const told = new Told();
  const all = names(16);
  await told.write(all, 'one');
  told.follow(all);
  await told.hear(all, 'one');
  await stage.kill();
  await waitFor(() => told.problems >= all.length, {
    deadlineMs: 30_000,
    what: 'all to be told of the outage',
  });
  await stage.start();
  await waitFor(
    async () => {
      await told.write(all, 'two');
      return true;
    },
    { deadlineMs: 30_000, what: 'Consul to write' },
  );
  await told.hear(all, 'two');
});
