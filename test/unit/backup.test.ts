import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  abandoned,
  backupId,
  dataKey,
  isVerified,
  listBackups,
  manifestKey,
  newestVerified,
  objectsOf,
  proofKey,
  readBackupId,
  type StoredObject,
} from '../../src/fleet/backup.js';

const time = fc
  .integer({ min: Date.parse('2020-01-01T00:00:00Z'), max: Date.parse('2090-01-01T00:00:00Z') })
  .map((ms) => new Date(ms).toISOString());
const epoch = fc.nat(1_000_000);
const form = fc.record({
  compressed: fc.boolean(),
  encrypted: fc.boolean(),
  attempt: fc.option(fc.stringMatching(/^[0-9a-f]{8}$/)),
});

const NOON = '2026-11-23T12:00:00.000Z';

function object(key: string, modifiedAt = NOON, bytes = 10): StoredObject {
  return { key, bytes, modifiedAt };
}

/** What a complete backup of `sessions-00` leaves in the store. */
function complete(takenAt: string, proof: 'sound' | 'unsound' | null = 'sound', database = 'sessions-00') {
  const id = backupId(takenAt, 7);
  return [
    object(dataKey('demo', database, id, { compressed: true, encrypted: false, attempt: null })),
    object(manifestKey('demo', database, id)),
    ...(proof === null ? [] : [object(proofKey('demo', database, id, proof))]),
  ];
}

describe('the id of a backup', () => {
  it('tells its time and epoch, and sorts by time', () => {
    fc.assert(
      fc.property(time, epoch, time, epoch, (a, epochA, b, epochB) => {
        expect(readBackupId(backupId(a, epochA))).toEqual({ takenAt: a, epoch: epochA });
        if (a < b) expect(backupId(a, epochA) < backupId(b, epochB)).toBe(true);
      }),
    );
  });

  it.each(['', '20261123T120000000Z', '20260231T120000000Z-e7', '20261123T250000000Z-e7', '../x', 'e7'])(
    'is not %j',
    (text) => {
      expect(readBackupId(text)).toBeNull();
    },
  );
});

describe('a listing of the store', () => {
  it('finds what was named, whatever the form of the data', () => {
    fc.assert(
      fc.property(time, epoch, form, (takenAt, number, shape) => {
        const id = backupId(takenAt, number);
        const data = object(dataKey('demo', 'sessions-00', id, shape));
        const { backups, strangers } = listBackups([data, object(manifestKey('demo', 'sessions-00', id))]);
        expect(strangers).toEqual([]);
        expect(backups).toHaveLength(1);
        expect(backups[0]).toMatchObject({ id, takenAt, epoch: number, data: [data], proof: 'unchecked' });
      }),
    );
  });

  it('names strangers, and takes nothing of theirs for a backup', () => {
    const strangers = [
      'demo/sessions-00/dump.rdb',
      'demo/sessions-00/20261123T120000000Z-e7.rdb.gz',
      'demo/20261123T120000000Z-e7.rdb',
      'demo/sessions-00/old/20261123T120000000Z-e7.rdb',
      'demo/Sessions/20261123T120000000Z-e7.rdb',
    ];
    expect(listBackups(strangers.map((key) => object(key)))).toEqual({ backups: [], strangers });
  });

  it('shows the newest first, each database for itself', () => {
    const { backups } = listBackups([
      ...complete('2026-11-23T10:00:00.000Z'),
      ...complete('2026-11-23T12:00:00.000Z'),
      ...complete('2026-11-23T11:00:00.000Z', 'sound', 'carts-01'),
    ]);
    expect(backups.map(({ takenAt, database }) => `${takenAt.slice(11, 13)} ${database}`)).toEqual([
      '12 sessions-00',
      '11 carts-01',
      '10 sessions-00',
    ]);
  });

  it('calls a backup sound only when no check of it found the contrary', () => {
    const [data, manifest, sound] = complete(NOON);
    const unsound = complete(NOON, 'unsound').at(-1);
    const of = (...objects: (StoredObject | undefined)[]) =>
      listBackups(objects.filter((each) => each !== undefined)).backups.map(isVerified);
    expect(of(data, manifest, sound)).toEqual([true]);
    expect(of(data, manifest, sound, unsound)).toEqual([false]);
    expect(of(data, manifest)).toEqual([false]);
    expect(of(data, sound)).toEqual([false]);
    expect(of(manifest, sound)).toEqual([false]);
  });

  it('removes a proof and a manifest before the data', () => {
    const [backup] = listBackups(complete(NOON)).backups;
    expect(backup && objectsOf(backup).map((key) => key.slice(key.indexOf('.')))).toEqual([
      '.sound.json',
      '.json',
      '.rdb.zst',
    ]);
  });

  it('counts data without a manifest as left behind, once nobody can be at work on it', () => {
    const [data] = complete(NOON);
    const { backups } = listBackups([...(data ? [data] : []), ...complete('2026-11-23T10:00:00.000Z')]);
    expect(abandoned(backups, '2026-11-23T12:00:00.001Z')).toEqual([data]);
    expect(abandoned(backups, NOON)).toEqual([]);
  });
});

describe('the backup to restore', () => {
  const { backups } = listBackups([
    ...complete('2026-11-23T09:00:00.000Z'),
    ...complete('2026-11-23T10:00:00.000Z'),
    ...complete('2026-11-23T11:00:00.000Z', 'unsound'),
    ...complete('2026-11-23T12:00:00.000Z', null),
    ...complete('2026-11-23T13:00:00.000Z', 'sound', 'carts-01'),
  ]);

  it('is the newest that was verified', () => {
    expect(newestVerified(backups, 'sessions-00')?.takenAt).toBe('2026-11-23T10:00:00.000Z');
  });

  it('is, as of a time, never younger than that', () => {
    expect(newestVerified(backups, 'sessions-00', '2026-11-23T09:59:59.999Z')?.takenAt).toBe(
      '2026-11-23T09:00:00.000Z',
    );
    expect(newestVerified(backups, 'sessions-00', '2026-11-23T10:00:00.000Z')?.takenAt).toBe(
      '2026-11-23T10:00:00.000Z',
    );
    expect(newestVerified(backups, 'sessions-00', '2026-11-23T08:00:00Z')).toBeNull();
  });

  it('is none where there is none', () => {
    expect(newestVerified(backups, 'queue-02')).toBeNull();
  });
});
