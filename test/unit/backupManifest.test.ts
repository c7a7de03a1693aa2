import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseManifest, writeManifest, type BackupManifest } from '../../src/fleet/backupManifest.js';
import { FleetError } from '../../src/fleet/errors.js';

const KEY = 'demo/sessions-00/20261123T120000000Z-e7.json';
const SHA = 'a'.repeat(64);

const MANIFEST: BackupManifest = {
  format: 1,
  id: '20261123T120000000Z-e7',
  fleet: 'demo',
  database: 'sessions-00',
  epoch: 7,
  position: { id: 'b'.repeat(40), offset: 1234 },
  redisVersion: '7.0.15',
  rdbVersion: 10,
  plain: { bytes: 1000, sha256: SHA },
  sample: { keys: 64, sha256: SHA },
  stored: { key: 'demo/sessions-00/20261123T120000000Z-e7.rdb.zst', bytes: 400, sha256: SHA },
  compression: { method: 'zstd', level: 3 },
  encryption: { method: 'age', recipients: ['0123456789abcdef'] },
  times: {
    started: '2026-11-23T12:00:00.000Z',
    taken: '2026-11-23T12:00:00.000Z',
    saved: '2026-11-23T12:00:02.000Z',
    stored: '2026-11-23T12:00:03.000Z',
  },
  from: { host: 'redis-01-b', port: 6300 },
};

function refusal(text: string): string {
  try {
    parseManifest(text, KEY);
  } catch (error) {
    if (error instanceof FleetError && error.kind === 'InvalidRecord') return error.message;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('a manifest', () => {
  it('is read as it was written', () => {
    expect(parseManifest(writeManifest(MANIFEST), KEY)).toEqual(MANIFEST);
    const bare = { ...MANIFEST, position: null, redisVersion: null, compression: null, encryption: null };
    expect(parseManifest(writeManifest(bare), KEY)).toEqual(bare);
    const earlier: Partial<BackupManifest> = { ...MANIFEST };
    Reflect.deleteProperty(earlier, 'sample');
    expect(parseManifest(JSON.stringify(earlier), KEY)).toEqual({ ...MANIFEST, sample: null });
  });

  it.each<[string, unknown, string]>([
    ['format', 2, 'format must be 1'],
    ['epoch', -1, 'epoch must be a whole number'],
    ['position', { id: 'x', offset: 1 }, 'position.id must be 40'],
    ['plain', { bytes: 1000, sha256: 'short' }, 'plain.sha256 must be 64'],
    ['stored', undefined, 'stored must be a JSON object, and is missing'],
    ['compression', { method: 'gzip', level: 3 }, 'compression.method must be "zstd"'],
    ['encryption', { method: 'age', recipients: [] }, 'encryption.recipients must be a list'],
    ['times', { ...MANIFEST.times, taken: 'yesterday' }, 'times.taken must be a time'],
    ['from', { host: '', port: 6300 }, 'from.host must be a text'],
  ])('with a wrong %s is refused by name', (field, value, message) => {
    const text = refusal(JSON.stringify({ ...MANIFEST, [field]: value }));
    expect(text).toContain(KEY);
    expect(text).toContain(message);
    expect(text).toContain('Nothing was restored');
  });

  it('that was cut short, or damaged anywhere, is refused or still says the same', () => {
    const text = writeManifest(MANIFEST);
    fc.assert(
      fc.property(fc.nat(text.length - 3), (length) => {
        expect(refusal(text.slice(0, length))).toContain('damaged');
      }),
    );
  });
});
