/** Taking and renewing a lease by compare-and-set, when answers are lost and others write, too. */

import { beforeEach, describe, expect, it } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import type { HostLease } from '../../src/fleet/lease.js';
import { leaseHolder, type LeaseHolder } from '../../src/host/leaseHolder.js';
import type { LeaseStore } from '../../src/records/leases.js';

const HOST = 'redis-01-a';

/** One key of Consul, and the answers to writes of it. */
class Key {
  document: HostLease | null = null;
  index = 0;
  unreadable = false;
  /** Of the next write: done, but its answer is lost; or lost itself. */
  next: 'answered' | 'answer lost' | 'lost' = 'answered';
  writes = 0;

  set(document: HostLease): void {
    this.document = document;
    this.index += 3;
  }

  store(): LeaseStore {
    const nobody = (): never => {
      throw new Error('not asked by a holder');
    };
    return {
      key: (host) => `leases/${host}`,
      read: nobody,
      compareAndSet: nobody,
      watch: nobody,
      readOwn: () =>
        Promise.resolve(
          this.index === 0
            ? null
            : { lease: this.unreadable ? null : this.document, modifyIndex: this.index },
        ),
      renew: (lease, expected) => {
        const { next } = this;
        this.next = 'answered';
        this.writes++;
        const fits = expected === this.index;
        if (next !== 'lost' && fits) {
          this.set(lease);
          this.unreadable = false;
        }
        if (next !== 'answered') return Promise.reject(new FleetError('Unreachable', 'no answer'));
        return Promise.resolve(fits ? this.index : null);
      },
    };
  }
}

let key: Key;
let now: number;
let taken: { term: number; from: HostLease | null }[];
let ttl: number;

const content = () => ({ ttl, processes: {}, leaders: {} });

function holder(agent = 'this run'): LeaseHolder {
  return leaseHolder({
    host: HOST,
    agent,
    leases: key.store(),
    clock: () => now,
    timeoutMs: () => 100,
    onTaken: (term, from) => void taken.push({ term, from }),
  });
}

beforeEach(() => {
  key = new Key();
  now = 1_000;
  taken = [];
  ttl = 5_000;
});

describe('the holder of a lease', () => {
  it('takes the first term where there was none, and renews it without reading it again', async () => {
    const mine = holder();
    expect(mine.held()).toBeNull();
    await mine.renew(content);
    expect(key.document).toMatchObject({ host: HOST, agent: 'this run', term: 1, renewal: 1, ttl: 5_000 });
    now = 2_000;
    await mine.renew(content);
    expect(key.document).toMatchObject({ term: 1, renewal: 2 });
    expect(mine.held()).toEqual({ term: 1, sentAt: 2_000, ttl: 5_000, afterBreak: false });
    expect(taken).toEqual([{ term: 1, from: null }]);
  });

  it('counts from the last renewal that was confirmed, and goes on where an unconfirmed one left it', async () => {
    const mine = holder();
    await mine.renew(content);
    for (const next of ['answer lost', 'lost'] as const) {
      now += 1_000;
      key.next = next;
      await expect(mine.renew(content)).rejects.toThrow('no answer');
      expect(mine.held()?.sentAt).toBe(1_000);
    }
    now = 4_000;
    await mine.renew(content);
    expect(key.document).toMatchObject({ term: 1, renewal: 3 });
    expect(mine.held()).toMatchObject({ term: 1, sentAt: 4_000 });
    expect(taken).toHaveLength(1);
  });

  it('counts on the shorter time, as soon as a document that may stand there grants no more', async () => {
    const mine = holder();
    await mine.renew(content);
    ttl = 1_500;
    key.next = 'answer lost';
    await expect(mine.renew(content)).rejects.toThrow();
    expect(mine.held()?.ttl).toBe(1_500);
    ttl = 9_000;
    key.next = 'answer lost';
    await expect(mine.renew(content)).rejects.toThrow();
    expect(mine.held()?.ttl).toBe(1_500);
    await mine.renew(content);
    expect(mine.held()?.ttl).toBe(9_000);
  });

  it('takes a new term after it was broken, and knows that for as long as the term lasts', async () => {
    const mine = holder();
    await mine.renew(content);
    const { document } = key;
    if (document === null) throw new Error('nothing was written');
    key.set({ ...document, broken: { by: 'promoteFollower/x', why: 'it ran out' } });
    now = 9_000;
    await mine.renew(content);
    expect(key.document).toMatchObject({ term: 2, renewal: 1 });
    expect(key.document?.broken).toBeUndefined();
    expect(taken.at(-1)).toMatchObject({ term: 2, from: { broken: { by: 'promoteFollower/x' } } });
    await mine.renew(content);
    expect(mine.held()).toMatchObject({ term: 2, afterBreak: true });
  });

  it('takes a new term after another run of the agent, also after one that left', async () => {
    await holder('another run').renew(content);
    await holder('a run that leaves').renew(content);
    const last = holder('the last run');
    await last.renew(content);
    expect(key.document).toMatchObject({ agent: 'the last run', term: 3 });
    await last.leave(content);
    expect(key.document).toMatchObject({ term: 3, left: true });
    const mine = holder();
    await mine.renew(content);
    expect(key.document).toMatchObject({ agent: 'this run', term: 4 });
    expect(key.document?.left).toBeUndefined();
    expect(mine.held()?.afterBreak).toBe(false);
  });

  it('replaces what somebody edited into nonsense, with a term that only grows', async () => {
    const mine = holder();
    await mine.renew(content);
    key.unreadable = true;
    key.index += 3;
    await mine.renew(content);
    expect(key.document).toMatchObject({ agent: 'this run', term: 2 });
  });

  it('gives up in words when somebody else writes all the time', async () => {
    const mine = holder();
    await mine.renew(content);
    const store = key.store();
    const contested = leaseHolder({
      host: HOST,
      agent: 'this run',
      leases: { ...store, renew: () => Promise.resolve(null) },
      clock: () => now,
      timeoutMs: () => 100,
      onTaken: () => undefined,
    });
    await expect(contested.renew(content)).rejects.toThrow(/Does a second agent of redis-01-a run\?/);
  });
});
