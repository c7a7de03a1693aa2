import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import type { DatabaseRecord, Endpoint, Operation } from '../../src/fleet/record.js';
import { sameEndpoint } from '../../src/fleet/record.js';
import {
  addExtraFollower,
  changeLeader,
  claim,
  createNew,
  establish,
  handBack,
  leadAgain,
  release,
  restoreFollowers,
  setFollower,
} from '../../src/fleet/recordChanges.js';
import type { Author, Change } from '../../src/fleet/recordChanges.js';
import { parseRecord } from '../../src/fleet/recordFormat.js';

const A: Endpoint = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
const B: Endpoint = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };
const C: Endpoint = { host: 'redis-02-b', address: '127.0.2.2', port: 6300 };

function operation(workflowId: string, urgency: Operation['urgency'] = 'planned'): Operation {
  return {
    type: 'bringUpFollower',
    workflowId,
    runId: `${workflowId}#1`,
    urgency,
    since: '2026-01-31T12:00:00.000Z',
  };
}
function author(workflowId: string, urgency: Operation['urgency'] = 'planned'): Author {
  return { operation: operation(workflowId, urgency), at: '2026-01-31T12:30:00.000Z' };
}
const me = author('me');
const other = author('other');

function record(changes: Partial<DatabaseRecord> = {}): DatabaseRecord {
  return {
    database: 'sessions-00',
    server: 'redis-01',
    epoch: 1,
    leader: A,
    follower: B,
    operation: me.operation,
    updatedAt: '2026-01-31T12:00:00.000Z',
    updatedBy: 'provisionServer/redis-01',
    ...changes,
  };
}

function done(change: Change): DatabaseRecord {
  if ('refused' in change) throw new Error(`refused: ${change.why}`);
  return change.record;
}

const endpoint = fc.constantFrom(A, B, C);
const epoch = fc.integer({ min: 0, max: 3 });

/** Any change that anybody may ask for, as the activities ask for it. */
const anyStep: fc.Arbitrary<(record: DatabaseRecord, by: Author) => Change> = fc.oneof(
  fc
    .record({ leader: endpoint, follower: endpoint })
    .map((wanted) => (r: DatabaseRecord, by: Author) => establish(r, wanted, by)),
  fc
    .record({ epoch, follower: endpoint })
    .map((wanted) => (r: DatabaseRecord, by: Author) => setFollower(r, wanted, by)),
  fc
    .record({ epoch, follower: endpoint })
    .map((wanted) => (r: DatabaseRecord, by: Author) => addExtraFollower(r, wanted, by)),
  fc
    .record({
      epoch,
      follower: fc.option(endpoint),
      extraFollowers: fc.uniqueArray(endpoint, { maxLength: 2 }),
    })
    .map((wanted) => (r: DatabaseRecord, by: Author) => restoreFollowers(r, wanted, by)),
  fc
    .record({ epoch, leader: endpoint, follower: fc.option(endpoint) })
    .map((wanted) => (r: DatabaseRecord, by: Author) => changeLeader(r, wanted, by)),
  epoch.map((wanted) => (r: DatabaseRecord, by: Author) => leadAgain(r, { epoch: wanted }, by)),
  fc.constant((r: DatabaseRecord, by: Author) => claim(r, by)),
  fc.constant((r: DatabaseRecord, by: Author) => release(r, by)),
  fc
    .record({ database: fc.constant('sessions-00'), server: fc.constant('redis-01'), leader: endpoint })
    .map((wanted) => (r: DatabaseRecord, by: Author) => createNew(r, wanted, by, 'running')),
);
const anyStory = fc.array(fc.record({ step: anyStep, by: fc.constantFrom(me, other) }), { maxLength: 25 });

function whoLeads({ server, epoch, leader, follower, extraFollowers }: DatabaseRecord): unknown {
  return { server, epoch, leader, follower, extraFollowers };
}

/** Tells a story from a new record, and shows every change of it to `look`. */
function tell(
  story: readonly { step: (record: DatabaseRecord, by: Author) => Change; by: Author }[],
  start: DatabaseRecord,
  look: (before: DatabaseRecord, after: DatabaseRecord, by: Author) => void,
): void {
  let now = start;
  for (const { step, by } of story) {
    const change = step(now, by);
    if ('refused' in change) continue;
    look(now, change.record, by);
    now = change.record;
  }
}

describe('whatever is asked of a record', () => {
  const start = record({ epoch: 0, follower: null });

  test('its epoch never decreases, and grows by one whenever the leader changes', () => {
    fc.assert(
      fc.property(anyStory, (story) => {
        tell(story, start, (before, after) => {
          expect(after.epoch).toBeGreaterThanOrEqual(before.epoch);
          if (before.epoch > 0 && !sameEndpoint(before.leader, after.leader)) {
            expect(after.epoch).toBe(before.epoch + 1);
          }
        });
      }),
    );
  });

  test('only its owner changes who leads and who follows', () => {
    fc.assert(
      fc.property(anyStory, (story) => {
        tell(story, start, (before, after, by) => {
          if (before.operation?.workflowId === by.operation.workflowId) return;
          // createNew of an unowned record of epoch 0 begins its provisioning again.
          if (before.epoch === 0 && before.operation === undefined) return;
          expect(whoLeads(after)).toEqual(whoLeads(before));
        });
      }),
    );
  });

  test('no follower is on the host of the leader', () => {
    fc.assert(
      fc.property(anyStory, (story) => {
        tell(story, start, (_before, after) => {
          const followers = [...(after.follower ? [after.follower] : []), ...(after.extraFollowers ?? [])];
          expect(followers.map(({ host }) => host)).not.toContain(after.leader.host);
        });
      }),
    );
  });

  test('what other tools keep in a record stays as it is', () => {
    fc.assert(
      fc.property(anyStory, fc.jsonValue(), (story, theirs) => {
        const withTheirs: DatabaseRecord = { ...start, ...{ theirs } };
        tell(story, withTheirs, (_before, after) => {
          expect(Reflect.get(after, 'theirs')).toEqual(theirs);
        });
      }),
    );
  });

  test('asked twice, it ends where it ended once', () => {
    fc.assert(
      fc.property(anyStory, anyStep, (story, last) => {
        let now = start;
        tell(story, start, (_before, after) => (now = after));
        const once = last(now, me);
        if ('refused' in once) return;
        const twice = last(once.record, me);
        expect(twice).toEqual({ record: once.record, changed: false });
      }),
    );
  });

  test('it can be read again from its own text', () => {
    fc.assert(
      fc.property(anyStory, (story) => {
        tell(story, start, (_before, after) => {
          const text = JSON.stringify(after);
          expect(parseRecord(text, { key: 'k', database: 'sessions-00' })).toEqual(JSON.parse(text));
        });
      }),
    );
  });
});

describe('the life of a record', () => {
  const wanted = { database: 'sessions-00', server: 'redis-01', leader: A };

  test('provisioning begins at epoch 0, and nobody leads before epoch 1', () => {
    const begun = done(createNew(null, wanted, me, 'running'));
    expect(begun).toMatchObject({
      epoch: 0,
      leader: A,
      follower: null,
      operation: me.operation,
      updatedBy: 'me',
    });
    const established = done(establish(begun, { leader: A, follower: B }, me));
    expect(established).toMatchObject({ epoch: 1, leader: A, follower: B });
  });

  test('a provisioning that died is taken over; one that runs is left alone; an established record is never replaced', () => {
    const begun = done(createNew(null, wanted, other, 'running'));
    expect(createNew(begun, { ...wanted, leader: C }, me, 'running')).toMatchObject({
      refused: 'DatabaseOwned',
    });
    expect(done(createNew(begun, { ...wanted, leader: C }, me, 'closed'))).toMatchObject({
      leader: C,
      operation: me.operation,
    });
    expect(createNew(record({ epoch: 1 }), wanted, me, 'gone')).toMatchObject({ refused: 'RecordChanged' });
  });

  test('a promotion makes the follower lead at the next epoch, and the old leader follow', () => {
    expect(done(changeLeader(record(), { epoch: 1, leader: B, follower: A }, me))).toMatchObject({
      epoch: 2,
      leader: B,
      follower: A,
    });
  });

  test('as planned, a further follower may lead, and the one before it goes on following; else it is forgotten', () => {
    const moving = record({ extraFollowers: [C] });
    expect(done(changeLeader(moving, { epoch: 1, leader: C, follower: A }, me))).toMatchObject({
      epoch: 2,
      leader: C,
      follower: A,
      extraFollowers: [B],
    });
    const failed = done(changeLeader(moving, { epoch: 1, leader: C, follower: null, unplanned: true }, me));
    expect(failed).toMatchObject({ leader: C, follower: null });
    expect(failed).not.toHaveProperty('extraFollowers');
  });

  test('what follows nobody cannot be promoted', () => {
    expect(changeLeader(record(), { epoch: 1, leader: C, follower: null }, me)).toMatchObject({
      refused: 'FollowerUnfit',
    });
  });

  test('a plan made before a promotion is refused after it', () => {
    const promoted = done(changeLeader(record(), { epoch: 1, leader: B, follower: A }, me));
    expect(setFollower(promoted, { epoch: 1, follower: C }, me)).toMatchObject({ refused: 'RecordChanged' });
    expect(addExtraFollower(promoted, { epoch: 1, follower: C }, me)).toMatchObject({
      refused: 'RecordChanged',
    });
    expect(changeLeader(promoted, { epoch: 1, leader: A, follower: B }, me)).toMatchObject({
      refused: 'RecordChanged',
    });
  });

  test('a preempted runbook learns from its next change who took the database', () => {
    const taken = done(claim(record(), author('promoteFollower/sessions-00', 'urgent')));
    const late = setFollower(taken, { epoch: 1, follower: C }, me);
    expect(late).toMatchObject({ refused: 'OwnershipLost' });
    expect('why' in late ? late.why : '').toContain('`redis-fleet runbook show promoteFollower/sessions-00`');
  });

  test('an extra follower that becomes the follower is no extra any more', () => {
    const moving = done(addExtraFollower(record(), { epoch: 1, follower: C }, me));
    expect(moving.extraFollowers).toEqual([C]);
    const moved = done(setFollower(moving, { epoch: 1, follower: C }, me));
    expect(moved.follower).toEqual(C);
    expect('extraFollowers' in moved).toBe(false);
  });

  test('undoing a change of the follower brings back what was there', () => {
    const before = record({ follower: null });
    const after = done(setFollower(before, { epoch: 1, follower: B }, me));
    const undone = done(restoreFollowers(after, { epoch: 1, follower: null, extraFollowers: [] }, me));
    expect(undone).toEqual({ ...before, updatedAt: me.at, updatedBy: 'me' });
  });

  test('a leader is never given a follower on its own host', () => {
    const own = { ...A, port: 6400 };
    for (const change of [
      establish(record({ epoch: 0, follower: null }), { leader: A, follower: own }, me),
      setFollower(record(), { epoch: 1, follower: own }, me),
      changeLeader(record(), { epoch: 1, leader: B, follower: { ...B, port: 6400 } }, me),
    ]) {
      expect(change).toMatchObject({ refused: 'InvalidRequest' });
    }
  });

  test('a claim that is taken back leaves the owner it had', () => {
    const owned = record({ operation: other.operation });
    const taken = done(claim(owned, author('me', 'urgent')));
    expect(done(handBack(taken, other.operation, author('me', 'urgent'))).operation).toEqual(other.operation);
    expect(handBack(owned, undefined, me)).toEqual({ record: owned, changed: false });
  });

  test('releasing what somebody else owns releases nothing', () => {
    const theirs = record({ operation: other.operation });
    expect(release(theirs, me)).toEqual({ record: theirs, changed: false });
    expect('operation' in done(release(record(), me))).toBe(false);
  });
});

describe('a record edited by hand', () => {
  const key = 'redis-fleet/demo/databases/sessions-00';
  const good = JSON.parse(JSON.stringify(record())) as Record<string, unknown>;
  const read = (document: unknown): DatabaseRecord =>
    parseRecord(typeof document === 'string' ? document : JSON.stringify(document), {
      key,
      database: 'sessions-00',
    });

  test.each<[string, unknown, string]>([
    ['no JSON', '{"database":', 'its value must be JSON'],
    ['a list', [], 'its value must be a JSON object'],
    [
      'another database',
      { ...good, database: 'x' },
      'database must be "sessions-00", as in its key, and is "x"',
    ],
    ['an epoch as text', { ...good, epoch: '7' }, 'epoch must be a whole number, 0 or more, and is "7"'],
    ['half an epoch', { ...good, epoch: 1.5 }, 'epoch must be a whole number'],
    [
      'no leader',
      { ...good, leader: null },
      'leader must be an object with host, address and port, and is null',
    ],
    ['no address', { ...good, leader: { ...A, address: '' } }, 'leader.address must be a text, and is ""'],
    [
      'an impossible port',
      { ...good, follower: { ...B, port: 70000 } },
      'follower.port must be a whole number, 1 or more, at most 65535',
    ],
    [
      'a follower on the leader',
      { ...good, follower: { ...A, port: 1 } },
      "follower.host must not be the leader's host",
    ],
    ['extras that are no list', { ...good, extraFollowers: 'B' }, 'extraFollowers must be a list'],
    [
      'a wrong extra',
      { ...good, extraFollowers: [B, { ...C, host: 1 }] },
      'extraFollowers[1].host must be a text, and is 1',
    ],
    [
      'a wrong urgency',
      { ...good, operation: { ...me.operation, urgency: 'now' } },
      'operation.urgency must be one of routine, planned, urgent',
    ],
    ['a wrong time', { ...good, updatedAt: 'yesterday' }, 'updatedAt must be a time like'],
  ])('%s: the message names the key, the field and the commands', (_name, document, message) => {
    expect(() => read(document)).toThrowError(FleetError);
    expect(() => read(document)).toThrowError(message);
    expect(() => read(document)).toThrowError(`consul kv get ${key}`);
  });

  test('however mangled, it is read or refused in words, and never read as something else', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(good), 'unknown'), fc.jsonValue(), (field, value) => {
        const mangled = { ...good, [field]: value };
        let result: DatabaseRecord;
        try {
          result = read(mangled);
        } catch (error) {
          expect(error).toMatchObject({ name: 'FleetError', kind: 'InvalidRecord' });
          return;
        }
        expect(JSON.parse(JSON.stringify(result))).toEqual(JSON.parse(JSON.stringify(mangled)));
      }),
    );
  });
});

describe('a leader that was started anew', () => {
  test('leads again with the next epoch, once, and says who let it', () => {
    const after = done(leadAgain(record({ epoch: 3 }), { epoch: 3 }, me));
    expect(after).toMatchObject({ epoch: 4, leader: A, follower: B });
    expect(after.promotion).toEqual({ at: me.at, by: 'me', runId: 'me#1', from: A });
    expect(done(leadAgain(after, { epoch: 3 }, me))).toBe(after);
  });

  test('does not when somebody else changed the record, or owns it', () => {
    expect(leadAgain(record({ epoch: 4 }), { epoch: 3 }, me)).toMatchObject({ refused: 'RecordChanged' });
    expect(leadAgain(record({ epoch: 3 }), { epoch: 3 }, other)).toMatchObject({ refused: 'OwnershipLost' });
  });
});
