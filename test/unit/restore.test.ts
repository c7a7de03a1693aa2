import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backupId, isVerified, type BackupInStore, type BackupProof } from '../../src/fleet/backup.js';
import { chooseWay, mayNeedStore, type StoredBackup } from '../../src/fleet/bringUp.js';
import { lossOf, replaceDanger, type FetchedBackup, type StandingProcess } from '../../src/fleet/restore.js';
import { chooseRestore } from '../../src/fleet/restoreChoice.js';
import {
  bringUpFacts,
  dataFile,
  followerEndpoint,
  FOREIGN_ID,
  ID,
  leaderEndpoint,
  MiB,
  OLD_ID,
  processFacts,
} from './facts.js';

const DATABASE = 'sessions-03';
const NOON = Date.parse('2026-11-23T12:00:00.000Z');

interface Kind {
  readonly minutes: number;
  readonly epoch: number;
  readonly manifest: boolean;
  readonly data: boolean;
  readonly proof: BackupProof;
}

function inStore({ minutes, epoch, manifest, data, proof }: Kind, database = DATABASE): BackupInStore {
  const takenAt = new Date(NOON - minutes * 60_000).toISOString();
  const id = backupId(takenAt, epoch);
  const object = (ending: string) => ({
    key: `demo/${database}/${id}.${ending}`,
    bytes: 1,
    modifiedAt: takenAt,
  });
  return {
    id,
    fleet: 'demo',
    database,
    takenAt,
    epoch,
    manifest: manifest ? object('json') : null,
    data: data ? [object('rdb')] : [],
    proof,
    proofs: proof === 'unchecked' ? [] : [object(`${proof}.json`)],
  };
}

const sound = (minutes: number): BackupInStore =>
  inStore({ minutes, epoch: 1, manifest: true, data: true, proof: 'sound' });

const anyBackup = fc
  .record({
    minutes: fc.integer({ min: 0, max: 10_000 }),
    epoch: fc.integer({ min: 0, max: 5 }),
    manifest: fc.boolean(),
    data: fc.boolean(),
    proof: fc.constantFrom<BackupProof>('sound', 'unsound', 'unchecked'),
  })
  .map((kind) => inStore(kind));

describe('the backup to restore', () => {
  test('is the newest verified one, whatever else there is; the next older ones take its place in turn', () => {
    fc.assert(
      fc.property(fc.array(anyBackup, { maxLength: 20 }), (backups) => {
        const choice = chooseRestore(DATABASE, backups);
        const verified = backups.filter(isVerified);
        expect(choice.possible).toBe(verified.length > 0);
        if (!choice.possible) return;
        const ages = choice.ids.map((id) => Date.parse(backups.find((one) => one.id === id)?.takenAt ?? ''));
        expect(ages).toEqual(ages.toSorted((a, b) => b - a));
        expect(ages[0]).toBe(Math.max(...verified.map(({ takenAt }) => Date.parse(takenAt))));
        for (const id of choice.ids) expect(verified.some((one) => one.id === id)).toBe(true);
      }),
    );
  });

  test('as of a time is never younger than that', () => {
    fc.assert(
      fc.property(
        fc.array(anyBackup, { maxLength: 20 }),
        fc.integer({ min: 0, max: 10_000 }),
        (backups, minutes) => {
          const asOf = new Date(NOON - minutes * 60_000).toISOString();
          const choice = chooseRestore(DATABASE, backups, { asOf });
          for (const id of choice.possible ? choice.ids : []) {
            const taken = backups.find((one) => one.id === id)?.takenAt ?? '';
            expect(Date.parse(taken)).toBeLessThanOrEqual(Date.parse(asOf));
          }
        },
      ),
    );
  });

  test('is never one of another database', () => {
    const other = inStore(
      { minutes: 1, epoch: 1, manifest: true, data: true, proof: 'sound' },
      'sessions-04',
    );
    expect(chooseRestore(DATABASE, [other])).toMatchObject({ possible: false });
  });

  test('that is newer and not verified is named with what keeps it from being taken', () => {
    const unchecked = inStore({ minutes: 1, epoch: 1, manifest: true, data: true, proof: 'unchecked' });
    const damaged = inStore({ minutes: 2, epoch: 1, manifest: true, data: true, proof: 'unsound' });
    const without = inStore({ minutes: 3, epoch: 1, manifest: true, data: false, proof: 'sound' });
    const good = sound(60);
    expect(chooseRestore(DATABASE, [good, without, damaged, unchecked])).toEqual({
      possible: true,
      ids: [good.id],
      passedOver: [
        `Backup ${unchecked.id} is not taken: it was never verified.`,
        `Backup ${damaged.id} is not taken: its last check found it damaged.`,
        `Backup ${without.id} is not taken: it has a manifest, and its data is gone.`,
      ],
    });
  });

  test('can be named by its id or by any of its keys, and then nothing takes its place', () => {
    const backups = [sound(1), sound(2)];
    const [, older] = backups;
    for (const from of [older?.id ?? '', older?.manifest?.key ?? '', older?.data[0]?.key ?? ''])
      expect(chooseRestore(DATABASE, backups, from)).toMatchObject({ possible: true, ids: [older?.id] });
    const damaged = inStore({ minutes: 3, epoch: 1, manifest: true, data: true, proof: 'unsound' });
    expect(chooseRestore(DATABASE, [damaged], damaged.id)).toMatchObject({
      possible: false,
      why: expect.stringContaining(
        `Backup ${damaged.id} of ${DATABASE} is not to be restored from`,
      ) as string,
    });
  });
});

const backup: FetchedBackup = {
  id: sound(42).id,
  file: '/data/.fetched/sessions-03/x.rdb',
  takenAt: sound(42).takenAt,
  epoch: 1,
  position: { id: ID, offset: 4 * MiB },
  bytes: 100 * MiB,
  keys: 1000,
  redisVersion: '7.0.15',
};
const gone: StandingProcess = {
  endpoint: leaderEndpoint,
  role: 'leader',
  agent: true,
  state: 'never started',
  facts: null,
  file: null,
};

describe('what a restore loses', () => {
  test('is counted from the process that went on furthest', () => {
    const follower = { ...gone, role: 'follower' as const, endpoint: followerEndpoint };
    const seen = [
      { ...gone, facts: processFacts() },
      { ...follower, file: dataFile({ id: ID, offset: 5 * MiB }) },
    ];
    expect(lossOf(backup, seen, NOON)).toEqual({
      ageMs: 42 * 60_000,
      bytes: 6 * MiB,
      source: leaderEndpoint,
    });
    expect(lossOf(backup, seen.slice(1), NOON)).toMatchObject({ bytes: MiB, source: followerEndpoint });
  });

  test('is counted across one promotion, and is unknown beyond that', () => {
    const promoted = processFacts({
      position: { id: OLD_ID, offset: 10 * MiB },
      previous: { id: ID, offset: 5 * MiB },
    });
    expect(lossOf(backup, [{ ...gone, facts: promoted }], NOON).bytes).toBe(6 * MiB);
    const other = processFacts({ position: { id: FOREIGN_ID, offset: 10 * MiB } });
    expect(lossOf(backup, [{ ...gone, facts: other }], NOON).bytes).toBeNull();
    expect(lossOf(backup, [gone], NOON)).toMatchObject({ ageMs: 42 * 60_000, bytes: null });
  });

  test('is said before anything is asked, with what is there now', () => {
    const text = replaceDanger(DATABASE, backup, [gone], lossOf(backup, [gone], NOON));
    expect(text).toContain(`backup ${backup.id}: 42 min old (as of ${backup.takenAt}), 100 MiB, 1000 keys`);
    expect(text).toContain('how much that is nobody can tell');
    expect(text).toContain('does not run, and has no data file');
    expect(text).toContain('kept until the end, and put back on abort');
    const hangs = { ...gone, state: 'running' as const };
    expect(replaceDanger(DATABASE, backup, [hangs], lossOf(backup, [hangs], NOON))).toContain(
      'runs and does not answer: it will be killed',
    );
  });
});

describe('a bring-up from the store', () => {
  const stored = (offset: number, id = ID): StoredBackup => ({
    id: `at-${offset}`,
    takenAt: '2026-11-23T12:00:00.000Z',
    bytes: MiB,
    position: { id, offset },
  });

  test('takes the newest backup that the backlog covers, and knows the next', () => {
    const facts = bringUpFacts({ stored: [stored(9 * MiB), stored(8 * MiB), stored(100)] });
    expect(chooseWay(facts)).toMatchObject({
      possible: true,
      chosen: { way: 'backup', ids: [`at-${9 * MiB}`, `at-${8 * MiB}`] },
    });
  });

  test('is not possible from one that is too old, of another history, or without a position', () => {
    for (const old of [stored(100), stored(9 * MiB, FOREIGN_ID), { ...stored(9 * MiB), position: null }]) {
      const choice = chooseWay(bringUpFacts({ stored: [old], only: 'backup' }));
      expect(choice.possible).toBe(false);
      expect(choice.rejected[0]?.why).toContain(
        `the backup ${old.id} of 2026-11-23T12:00:00.000Z in the store: `,
      );
    }
  });

  test('is not even looked for where the leader is spared without it, or a file was named', () => {
    const own = bringUpFacts({ ownFile: { found: true, file: dataFile({ id: ID, offset: 9 * MiB }) } });
    expect(mayNeedStore(own, chooseWay(own))).toBe(false);
    const none = bringUpFacts();
    expect(mayNeedStore(none, chooseWay(none))).toBe(true);
    const full = bringUpFacts({ only: 'full' });
    expect(mayNeedStore(full, chooseWay(full))).toBe(false);
  });
});
