import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { Command } from 'ioredis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { lastKnownFile } from '../../src/client/lastKnown.js';
import { isDiscarded, refusalOf } from '../../src/client/refusals.js';
import { chooseTarget, pauseAfter } from '../../src/client/target.js';
import type { KnownRecord } from '../../src/client/target.js';
import { Transactions } from '../../src/client/transactions.js';
import { WaitingRoom } from '../../src/client/waitingRoom.js';

const LEADER = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
const FOLLOWER = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };
const RECORD: KnownRecord = { database: 'sessions-00', epoch: 7, leader: LEADER, follower: FOLLOWER };

describe('whom a client talks to', () => {
  const near = (): boolean => false;
  const far = (): boolean => true;

  it.each([
    ['the leader of the record', RECORD, 'leader', near, LEADER],
    ['the follower of the record, when asked for', RECORD, 'follower', near, FOLLOWER],
    ['the leader, when the follower is out of reach', RECORD, 'follower', far, LEADER],
    ['the leader, when there is no follower', { ...RECORD, follower: null }, 'follower', near, LEADER],
    ['nobody while the database is being provisioned', { ...RECORD, epoch: 0 }, 'leader', near, null],
    ['nobody before any record was seen', null, 'leader', near, null],
  ] as const)('%s', (_, record, role, outOfReach, target) => {
    expect(chooseTarget(record, role, outOfReach)).toEqual(target);
  });

  it('is tried again at once after a lost connection, then ever more rarely, but at least twice a second', () => {
    const pauses = Array.from({ length: 40 }, (_, failures) => pauseAfter(failures));
    expect(pauses.slice(0, 3)).toEqual([0, 0, 100]);
    expect(pauses).toEqual(pauses.toSorted((a, b) => a - b));
    expect(pauses.at(-1)).toBe(500);
  });
});

describe('what Redis answers', () => {
  it.each([
    ["READONLY You can't write against a read only replica.", 'moved'],
    ['UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)', 'moved'],
    [
      "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
      'moved',
    ],
    [
      'EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.',
      'unavailable',
    ],
    ['NOREPLICAS Not enough good replicas to write.', 'unavailable'],
    ['LOADING Redis is loading the dataset in memory', 'unavailable'],
    ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'unavailable'],
    ['ERR value is not an integer or out of range', null],
    ['WRONGTYPE Operation against a key holding the wrong kind of value', null],
    ['ERR unknown command READONLY', null],
  ])('%s', (message, refusal) => {
    expect(refusalOf(message)).toBe(refusal);
  });

  it('a transaction with an error among its commands is discarded without a reason of its own', () => {
    const message = 'EXECABORT Transaction discarded because of previous errors.';
    expect(refusalOf(message)).toBeNull();
    expect(isDiscarded(message)).toBe(true);
  });
});

describe('the room where commands wait', () => {
  afterEach(() => vi.useRealTimers());
  const command = (n: number): Command => quiet(new Command('set', [`k${n}`, String(n)]));

  it('gives back what was sent before first, and all in order, whatever happened meanwhile', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 60 }), (steps) => {
        const room = new WaitingRoom(60_000, () => undefined);
        const [sent, order]: [Command[], Command[]] = [[], []];
        for (const [n, step] of steps.entries()) {
          // Taken, and refused or interrupted in the order in which they were sent; or new.
          if (step === 0) {
            const taken = room.take();
            for (const one of taken) room.putBack(one, {});
          } else {
            const fresh = command(n);
            order.push(fresh);
            room.add(fresh);
          }
        }
        sent.push(...room.take());
        expect(sent).toEqual(order);
        expect(room.size).toBe(0);
      }),
    );
  });

  it('lets nobody wait for longer than allowed, and says what it knows of whom it gives up', () => {
    vi.useFakeTimers();
    const gone: unknown[] = [];
    const room = new WaitingRoom(1_000, ({ command: { args }, maybeExecuted, refusal }) =>
      gone.push([args[0], maybeExecuted, refusal?.message ?? null]),
    );
    room.add(command(1));
    vi.advanceTimersByTime(600);
    room.add(command(2));
    room.putBack(command(0), { refusal: new Error('NOREPLICAS') });
    vi.advanceTimersByTime(500);
    expect(gone).toEqual([['k1', false, null]]);
    vi.advanceTimersByTime(600);
    expect(gone.slice(1)).toEqual([
      ['k0', false, 'NOREPLICAS'],
      ['k2', false, null],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('counts all the time that a command waited, however often it was refused', () => {
    vi.useFakeTimers();
    let expired = 0;
    const room = new WaitingRoom(1_000, () => expired++);
    room.add(command(1));
    for (let n = 0; n < 4; n++) {
      vi.advanceTimersByTime(200);
      for (const one of room.take()) room.putBack(one, { refusal: new Error('READONLY') });
    }
    expect(expired).toBe(0);
    vi.advanceTimersByTime(300);
    expect(expired).toBe(1);
  });

  it('forgets what was answered or given up meanwhile, and keeps no timer when it is empty', () => {
    vi.useFakeTimers();
    const room = new WaitingRoom(1_000, () => undefined);
    const [one, two] = [command(1), command(2)];
    room.add(one);
    room.add(two);
    one.reject(new Error('Command timed out'));
    expect(room.take()).toEqual([two]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('transactions over connections', () => {
  const issue = (transactions: Transactions, ...names: string[]): Command[] =>
    names.map((name) => {
      const command = quiet(new Command(name, []));
      transactions.issued(command);
      return command;
    });

  it('send again what an earlier connection had answered, and nothing twice', () => {
    const transactions = new Transactions();
    const [multi, incr, exec] = issue(transactions, 'multi', 'incr', 'exec') as [Command, Command, Command];
    const transaction = transactions.of(multi);
    expect(transaction?.before(multi, 1)).toEqual([]);
    expect(transaction?.before(incr, 1)).toEqual([]);
    multi.resolve('OK');
    incr.resolve('QUEUED');
    expect(transaction?.before(exec, 2)).toEqual([multi, incr]);
    expect(transaction?.before(exec, 2)).toEqual([]);
  });

  it('do not go on where their keys are not watched', () => {
    const transactions = new Transactions();
    const [watch] = issue(transactions, 'watch') as [Command];
    transactions.sent(watch, 1);
    const [multi] = issue(transactions, 'multi', 'exec') as [Command];
    expect(transactions.of(multi)?.before(multi, 1)).toEqual([]);
    expect(transactions.of(multi)?.before(multi, 2)).toBeNull();
  });

  it('end with EXEC, and so does what was watched', () => {
    const transactions = new Transactions();
    const [watch] = issue(transactions, 'watch') as [Command];
    transactions.sent(watch, 1);
    issue(transactions, 'multi', 'exec');
    const [get, multi] = issue(transactions, 'get', 'multi') as [Command, Command];
    expect(transactions.of(get)).toBeUndefined();
    expect(transactions.of(multi)?.before(multi, 2)).toEqual([]);
  });
});

describe('the last known records in a file', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'redis-fleet-known-'));
  const file = path.join(folder, 'known.json');
  afterEach(() => rmSync(file, { force: true }));

  it('are shared by processes, and a newer epoch stays', async () => {
    const [one, two] = [lastKnownFile(file, 'demo'), lastKnownFile(file, 'demo')];
    await one.write(RECORD);
    await two.write({ ...RECORD, database: 'sessions-01' });
    await one.write({ ...RECORD, epoch: 6, leader: FOLLOWER, follower: null });
    expect(two.read('sessions-00')).toEqual(RECORD);
    expect(one.read('sessions-01')).toEqual({ ...RECORD, database: 'sessions-01' });
    expect(lastKnownFile(file, 'other').read('sessions-00')).toBeNull();
  });

  it('hold addresses only', async () => {
    const record = { ...RECORD, updatedBy: 'somebody', leader: { ...LEADER, note: 'x' } };
    await lastKnownFile(file, 'demo').write(record);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      fleet: 'demo',
      databases: { 'sessions-00': RECORD },
    });
  });

  it('cut short or spoilt are as if there were none', async () => {
    for (const text of [
      '',
      '{"fleet":"demo","databases":{"sessions-00":',
      '[]',
      '{"fleet":"demo","databases":{"sessions-00":{}}}',
    ]) {
      writeFileSync(file, text);
      expect(lastKnownFile(file, 'demo').read('sessions-00')).toBeNull();
    }
    await lastKnownFile(file, 'demo').write(RECORD);
    expect(lastKnownFile(file, 'demo').read('sessions-00')).toEqual(RECORD);
  });
});

/** Nobody waits for it here. */
function quiet(command: Command): Command {
  command.promise.catch(() => undefined);
  return command;
}
