/** From a file of Redis's to the store and back, and what is found on the way back. */

import { execFileSync } from 'node:child_process';
import { copyFile, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inventory, removeBackup, sweepLeftovers } from '../../src/backups/inventory.js';
import { NO_KEYS, readKeyring, type Keyring } from '../../src/backups/keyring.js';
import { restoreFile } from '../../src/backups/restoreFile.js';
import { openStore } from '../../src/backups/store/openStore.js';
import { putText } from '../../src/backups/store/smallObjects.js';
import type { BackupStore } from '../../src/backups/store/store.js';
import { storeBackup, type BackupForm } from '../../src/backups/storeBackup.js';
import { recordVerdict, verifyBackup } from '../../src/backups/verifyBackup.js';
import { isVerified, manifestKey, newestVerified } from '../../src/fleet/backup.js';
import { verdictText } from '../../src/fleet/backupVerdict.js';
import { writeEmptyRdb } from '../../src/fleet/rdbFile.js';
import { waitFor } from '../../src/testbed/waiting.js';
import {
  COMPRESSED,
  jobFor,
  mountSmall,
  PLAIN,
  refOf,
  removeFolder,
  runBackup,
  startS3,
  temporaryFolder,
  trouble,
  writeRdb,
  type S3Server,
} from './backupStage.js';

const KEYS = 5_000;
const LATER = '2026-11-23T13:00:00.000Z';

let folder: string;
let s3: S3Server;
let rdb: string;
let ring: Keyring;
let otherRing: Keyring;
let environment: Record<string, string>;

beforeAll(async () => {
  folder = await temporaryFolder();
  s3 = await startS3(path.join(folder, 's3'));
  rdb = await writeRdb(folder, { megabytes: 24, keys: KEYS });
  const [identity, other] = [await generateX25519Identity(), await generateX25519Identity()];
  environment = {
    REDIS_FLEET_BACKUP_IDENTITIES: identity,
    REDIS_FLEET_BACKUP_RECIPIENTS: await identityToRecipient(identity),
  };
  ring = await readKeyring(environment);
  otherRing = await readKeyring({ REDIS_FLEET_BACKUP_IDENTITIES: other });
});
afterAll(async () => {
  await s3.end();
  await removeFolder(folder);
});

function formOf(compression: boolean, encryption: boolean): BackupForm {
  return { ...(compression ? COMPRESSED : PLAIN), recipients: encryption ? ring.recipients : [] };
}

/** An empty store of each kind, and where its objects lie as files. */
async function emptyStore(
  kind: string,
): Promise<{ store: BackupStore; fileOf: (key: string) => string; url: string }> {
  if (kind === 'S3') {
    const store = await s3.store();
    // Through the server: it remembers what lies in its folders.
    for await (const { key } of store.list('')) await store.remove(key);
    return {
      store,
      fileOf: (key) => s3.fileOf(key),
      url: `s3://backups?endpoint=http://127.0.0.1:${s3.port}`,
    };
  }
  const root = path.join(folder, 'directory');
  await rm(root, { recursive: true, force: true });
  return {
    store: await openStore(`file:${root}`, { base: folder }),
    fileOf: (key) => path.join(root, key),
    url: `file:${root}`,
  };
}

describe.each(['a directory', 'S3'])('a backup in %s', (kind) => {
  let store: BackupStore;
  let fileOf: (key: string) => string;
  let url: string;
  beforeEach(async () => {
    ({ store, fileOf, url } = await emptyStore(kind));
  });

  it.each([
    ['as Redis wrote it', false, false],
    ['compressed', true, false],
    ['encrypted', false, true],
    ['compressed and encrypted', true, true],
  ])('%s is verified, and comes back as it was', async (_what, compression, encryption) => {
    const job = jobFor(rdb);
    const { manifest } = await storeBackup(store, job, formOf(compression, encryption));
    expect(manifest.redisVersion).toMatch(/^\d+\.\d+/);
    expect(manifest.plain.bytes).toBe((await readFile(rdb)).length);
    if (compression) expect(manifest.stored.bytes).toBeLessThan(manifest.plain.bytes / 2);
    const verdict = await verifyBackup(store, refOf(job), { keyring: ring });
    expect(verdict).toMatchObject({ kind: 'sound', keys: KEYS, storedSha256: manifest.stored.sha256 });
    const target = path.join(folder, 'restored.rdb');
    expect(await restoreFile(store, refOf(job), target, { keyring: ring })).toEqual(manifest);
    execFileSync('cmp', [rdb, target]);
  });

  it('can be read by the programs that everybody has', async () => {
    const { manifest } = await storeBackup(store, jobFor(rdb), COMPRESSED);
    const sha256 = execFileSync('sh', [
      '-c',
      'sha256sum <"$1"',
      'sh',
      fileOf(manifest.stored.key),
    ]).toString();
    expect(sha256.slice(0, 64)).toBe(manifest.stored.sha256);
  });

  it('is stored once, however often that is asked for', async () => {
    const job = jobFor(rdb);
    const first = await storeBackup(store, job, formOf(true, true));
    const again = await storeBackup(store, job, formOf(true, true));
    expect(again.manifest).toEqual(first.manifest);
    expect((await inventory(store, 'demo', null)).backups).toMatchObject([
      { data: [{}], proof: 'unchecked' },
    ]);
  });

  it('is listed as verified when it was, and no longer when damage is found', async () => {
    const job = jobFor(rdb);
    const { manifest } = await storeBackup(store, job, COMPRESSED);
    const check = async (): Promise<void> => {
      await recordVerdict(store, job, await verifyBackup(store, job, { keyring: NO_KEYS }), LATER);
    };
    await check();
    const verified = async () =>
      newestVerified((await inventory(store, 'demo', 'sessions-00')).backups, 'sessions-00');
    expect((await verified())?.id).toBe(job.id);
    await flipByte(fileOf(manifest.stored.key));
    await check();
    expect(await verified()).toBeNull();
    expect((await inventory(store, 'demo', null)).backups).toMatchObject([{ proof: 'unsound' }]);
    // Found to be well again, as after a disk was repaired.
    await flipByte(fileOf(manifest.stored.key));
    await check();
    expect((await verified())?.id).toBe(job.id);
  });

  it('whose upload is killed at some moment is not there, and is stored by the next attempt', async () => {
    for (const [encrypted, afterBytes] of [
      [false, 2],
      [false, 20],
      [true, 17],
    ] as const) {
      ({ store, fileOf, url } = await emptyStore(kind));
      const job = jobFor(rdb);
      const run = runBackup(
        { work: 'store', url, job, level: null, bytesPerSecond: 20 * 1024 ** 2, target: '' },
        encrypted ? environment : {},
      );
      await waitFor(
        () => run.words.some((word) => 'storedBytes' in word && word.storedBytes > afterBytes * 1024 ** 2),
        {
          deadlineMs: 60_000,
          what: 'the upload to get so far',
          everyMs: 5,
        },
      );
      run.child.kill('SIGKILL');
      await expect(run.result()).rejects.toThrow('did not end well');
      expect((await inventory(store, 'demo', null)).backups).toEqual([]);

      const { resumedBytes } = await storeBackup(store, job, formOf(false, encrypted));
      if (kind === 'S3' && !encrypted && afterBytes > 16) expect(resumedBytes).toBeGreaterThan(0);
      expect((await verifyBackup(store, job, { keyring: ring })).kind).toBe('sound');
      await sweepLeftovers(store, 'demo', 'sessions-00', { olderThanMs: -60_000, now: Date.now() });
      expect(await store.sweepUnfinished('', -60_000)).toBe(0);
      expect((await verifyBackup(store, job, { keyring: ring })).kind).toBe('sound');
    }
  });

  it('leaves nothing when it is removed, and its manifest goes first', async () => {
    const job = jobFor(rdb);
    await storeBackup(store, job, COMPRESSED);
    await recordVerdict(store, job, await verifyBackup(store, job, { keyring: NO_KEYS }), LATER);
    const [backup] = (await inventory(store, 'demo', null)).backups;
    if (backup === undefined || !isVerified(backup)) throw new Error('it is not there');
    const removed: string[] = [];
    await removeBackup({ ...store, remove: async (key) => (removed.push(key), store.remove(key)) }, backup);
    expect(removed.map((key) => key.slice(key.indexOf('.')))).toEqual(['.sound.json', '.json', '.rdb.zst']);
    expect(await inventory(store, 'demo', null)).toEqual({ backups: [], strangers: [] });
  });
});

describe('damage is found, named, and never restored from', () => {
  const job = jobFor('');
  const ref = refOf(job);
  const target = (): string => path.join(folder, 'target.rdb');
  let store: BackupStore;
  let fileOf: (key: string) => string;

  beforeEach(async () => {
    ({ store, fileOf } = await emptyStore('a directory'));
    await writeFile(target(), 'what is there now');
  });

  async function verdictOf(keyring: Keyring = ring) {
    const verdict = await verifyBackup(store, ref, { keyring });
    const error = await trouble(restoreFile(store, ref, target(), { keyring }));
    expect(await readFile(target(), 'utf8')).toBe('what is there now');
    expect((await readdir(folder)).filter((name) => name.includes('incoming'))).toEqual([]);
    if (verdict.kind !== 'not loadable') expect(error.message).toBe(verdictText(ref, verdict));
    return verdict;
  }

  const forms = [
    ['plain', false, false],
    ['compressed', true, false],
    ['encrypted', false, true],
    ['compressed and encrypted', true, true],
  ] as const;

  async function stored(compression: boolean, encryption: boolean): Promise<string> {
    const { manifest } = await storeBackup(store, { ...job, file: rdb }, formOf(compression, encryption));
    return fileOf(manifest.stored.key);
  }

  it.each(forms)('a byte flipped anywhere in %s data', async (_what, compression, encryption) => {
    const file = await stored(compression, encryption);
    const { length } = await readFile(file);
    for (const at of [40, Math.floor(length / 2), length - 1]) {
      await flipByte(file, at);
      expect((await verdictOf()).kind).toBe('altered');
      await flipByte(file, at);
    }
  });

  it.each(forms)('%s data that was cut short', async (_what, compression, encryption) => {
    const file = await stored(compression, encryption);
    const { length } = await readFile(file);
    for (const bytes of [length - 1, Math.floor(length / 2), 0]) {
      await truncate(file, bytes);
      expect(await verdictOf()).toMatchObject({ kind: 'truncated', bytes, expectedBytes: length });
    }
  });

  it.each(forms)('another file under the name of %s data', async (_what, compression, encryption) => {
    const file = await stored(compression, encryption);
    const { length } = await readFile(file);
    await writeFile(file, Buffer.alloc(length, 'something else '));
    expect((await verdictOf()).kind).toBe('foreign data');
    await writeFile(file, 'short and strange');
    expect((await verdictOf()).kind).toBe('foreign data');
    await writeFile(file, Buffer.concat([await readFile(rdb), Buffer.alloc(length)]));
    expect((await verdictOf()).kind).toBe('foreign data');
  });

  it.each(forms)('%s data of another backup', async (_what, compression, encryption) => {
    const file = await stored(compression, encryption);
    const other = path.join(folder, 'other.rdb');
    await writeFile(other, writeEmptyRdb({ id: 'c'.repeat(40), offset: 1 }));
    const second = await storeBackup(store, jobFor(other, LATER), formOf(compression, encryption));
    await copyFile(fileOf(second.manifest.stored.key), file);
    expect(['truncated', 'foreign data', 'altered']).toContain((await verdictOf()).kind);
  });

  it('a manifest without its data, and data without its manifest', async () => {
    const file = await stored(true, false);
    await rename(file, `${file}.away`);
    expect(await verdictOf()).toMatchObject({ kind: 'no data' });
    await rename(`${file}.away`, file);
    await rm(fileOf(manifestKey(job.fleet, job.database, job.id)));
    expect(await verdictOf()).toMatchObject({
      kind: 'no manifest',
      data: [expect.stringContaining('.rdb.zst')],
    });
    await rm(file);
    expect(await verdictOf()).toEqual({ kind: 'no manifest', data: [] });
  });

  it('the manifest of another backup, and one that is damaged', async () => {
    await stored(true, false);
    const key = manifestKey(job.fleet, job.database, job.id);
    const text = await readFile(fileOf(key), 'utf8');
    await putText(store, key, text.replaceAll('sessions-00', 'carts-01'));
    expect((await verdictOf()).kind).toBe('foreign manifest');
    await putText(store, key, text.slice(0, -20));
    expect((await verdictOf()).kind).toBe('bad manifest');
    await putText(store, key, text.replace(/"sha256": "...../, '"sha256": "00000'));
    expect((await verdictOf()).kind).toBe('unreadable');
  });

  it('a wrong key, and none; the right one among several opens it', async () => {
    await stored(true, true);
    const held = otherRing.identities.map(({ id }) => id);
    const needed = ring.recipients.map(({ id }) => id);
    expect(await verdictOf(otherRing)).toEqual({ kind: 'wrong key', needed, held });
    const error = await trouble(restoreFile(store, ref, target(), { keyring: NO_KEYS }));
    expect(error.kind).toBe('WrongCredentials');
    expect(error.message).toMatch(
      /is encrypted for the keys .* and no key is at hand.*REDIS_FLEET_BACKUP_IDENTITIES_FILE/,
    );
    const both = { recipients: [], identities: [...otherRing.identities, ...ring.identities] };
    expect((await verifyBackup(store, ref, { keyring: both })).kind).toBe('sound');
  });

  it('a wrong key says nothing about the backup: it stays as it was listed', async () => {
    await stored(true, true);
    await recordVerdict(store, ref, await verifyBackup(store, ref, { keyring: ring }), LATER);
    await recordVerdict(store, ref, await verifyBackup(store, ref, { keyring: otherRing }), LATER);
    expect((await inventory(store, 'demo', null)).backups).toMatchObject([{ proof: 'sound' }]);
  });

  it("a file that is as Redis's own check does not like it", async () => {
    const bad = path.join(folder, 'bad.rdb');
    const content = await readFile(rdb);
    // A key's content: only the checksum at the file's end, and Redis, know better.
    content[content.length - 5_000] = (content[content.length - 5_000] ?? 0) ^ 1;
    await writeFile(bad, content);
    await storeBackup(store, { ...job, file: bad }, COMPRESSED);
    const verdict = await verifyBackup(store, ref, { keyring: NO_KEYS });
    expect(verdict).toMatchObject({
      kind: 'not loadable',
      why: expect.stringMatching(/checksum|error/i) as string,
    });
  });

  it('redis-check-rdb that is missing is no verdict', async () => {
    await stored(true, false);
    const error = await trouble(
      verifyBackup(store, ref, { keyring: ring, redisCheckRdb: '/nowhere/redis-check-rdb' }),
    );
    expect(error.kind).toBe('NotFound');
    expect(error.message).toContain('not verified');
  });

  it.each([
    ['cut short', async (file: string) => truncate(file, 5_000)],
    ['empty', async (file: string) => truncate(file, 0)],
    ['of another kind', async (file: string) => writeFile(file, 'not Redis')],
  ])('a file that is %s never gets into the store', async (_what, damage) => {
    const bad = path.join(folder, 'bad.rdb');
    await copyFile(rdb, bad);
    await damage(bad);
    expect((await trouble(storeBackup(store, { ...job, file: bad }, COMPRESSED))).kind).toBe('BadDataFile');
    expect(await inventory(store, 'demo', null)).toEqual({ backups: [], strangers: [] });
  });

  it('a file that somebody writes into while it is read does not count', async () => {
    const changing = path.join(folder, 'changing.rdb');
    await copyFile(rdb, changing);
    const slow = { ...PLAIN, bytesPerSecond: 40 * 1024 ** 2 };
    let touched: Promise<void> | null = null;
    const error = await trouble(
      storeBackup(store, { ...job, file: changing }, slow, {
        onProgress: () => void (touched ??= flipByte(changing, 9_000)),
      }),
    );
    expect(error.kind).toBe('BadDataFile');
    expect(error.message).toContain('changed while it was read');
    expect(await inventory(store, 'demo', null)).toEqual({ backups: [], strangers: [] });
  });
});

describe('a disk that is full', () => {
  const job = (): ReturnType<typeof jobFor> => jobFor(rdb);

  it('takes no half a backup, and can be used again', async (context) => {
    const small = await mountSmall(path.join(folder, 'small'), '16m', context);
    try {
      const store = await openStore(`file:${small.folder}`, { base: folder });
      const error = await trouble(storeBackup(store, job(), PLAIN));
      expect(error.kind).toBe('DiskFull');
      expect(error.message).toMatch(/could not store demo.*Make room there \(df -h/);
      expect(execFileSync('find', [small.folder, '-type', 'f']).toString()).toBe('');
      await storeBackup(store, job(), COMPRESSED);
      expect((await verifyBackup(store, job(), { keyring: NO_KEYS })).kind).toBe('sound');
    } finally {
      small.unmount();
    }
  });

  it('is found out before a backup is restored to it', async (context) => {
    const { store } = await emptyStore('a directory');
    await storeBackup(store, job(), COMPRESSED);
    const small = await mountSmall(path.join(folder, 'target'), '16m', context);
    try {
      const target = path.join(small.folder, 'dump.rdb');
      await writeFile(target, 'what is there now');
      const error = await trouble(restoreFile(store, job(), target, { keyring: NO_KEYS }));
      expect(error.kind).toBe('DiskFull');
      expect(error.message).toMatch(/bytes left, and the backup needs \d+: nothing was restored/);
      expect(await readdir(small.folder)).toEqual(['dump.rdb']);
      expect(await readFile(target, 'utf8')).toBe('what is there now');
    } finally {
      small.unmount();
    }
  });
});

async function flipByte(file: string, at = 100): Promise<void> {
  const content = await readFile(file);
  content[at] = (content[at] ?? 0) ^ 1;
  await writeFile(file, content);
}
