/** What every store promises, on each kind there is. */

import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { getText, putText } from '../../src/backups/store/smallObjects.js';
import { openStore } from '../../src/backups/store/openStore.js';
import type { BackupStore, Pieces } from '../../src/backups/store/store.js';
import { gather, inPieces, someContent } from '../unit/backupPieces.js';
import { removeFolder, startS3, temporaryFolder, trouble, type S3Server } from './backupStage.js';

let folder: string;
let s3: S3Server;
const stores: Record<string, BackupStore> = {};

beforeAll(async () => {
  folder = await temporaryFolder();
  s3 = await startS3(path.join(folder, 's3'));
  stores['a directory'] = await openStore('file:backups', { base: folder });
  stores['S3'] = await s3.store();
});
afterAll(async () => {
  for (const store of Object.values(stores)) store.close();
  await s3.end();
  await removeFolder(folder);
});

describe.each(['a directory', 'S3'])('%s', (kind) => {
  const at = (): BackupStore => {
    const store = stores[kind];
    if (store === undefined) throw new Error(`no store ${kind}`);
    return store;
  };

  it.each([0, 1, 100_000, 8 * 1024 ** 2, 8 * 1024 ** 2 + 1, 20_000_000])(
    'gives back %i bytes',
    async (bytes) => {
      const content = someContent(bytes);
      const key = `sizes/of-${bytes}.rdb`;
      expect(await at().put(key, inPieces(content, 300_000), { atMostBytes: bytes })).toEqual({
        bytes,
        resumedBytes: 0,
      });
      expect((await at().stat(key))?.bytes).toBe(bytes);
      expect((await gather(at().get(key))).equals(content)).toBe(true);
      expect(
        (await gather(at().get(key, { from: Math.floor(bytes / 2) }))).equals(content.subarray(bytes / 2)),
      ).toBe(true);
    },
  );

  it('lists what begins with a prefix, sorted, and nothing else', async () => {
    for (const key of ['list/b/2.json', 'list/a/1.json', 'list/ab/3.json', 'list/a/0.json']) {
      await putText(at(), key, key);
    }
    const keysOf = async (prefix: string): Promise<string[]> => {
      const keys: string[] = [];
      for await (const { key, bytes, modifiedAt } of at().list(prefix)) {
        expect(bytes).toBe(key.length);
        expect(Math.abs(Date.parse(modifiedAt) - Date.now())).toBeLessThan(60_000);
        keys.push(key);
      }
      return keys;
    };
    expect(await keysOf('list/a/')).toEqual(['list/a/0.json', 'list/a/1.json']);
    expect(await keysOf('list/')).toEqual([
      'list/a/0.json',
      'list/a/1.json',
      'list/ab/3.json',
      'list/b/2.json',
    ]);
    expect(await keysOf('list/a/1')).toEqual(['list/a/1.json']);
    expect(await keysOf('nothing/')).toEqual([]);
  });

  it('replaces at once, and removes, also what is gone', async () => {
    await putText(at(), 'one.json', 'first');
    await putText(at(), 'one.json', 'second');
    expect(await getText(at(), 'one.json')).toBe('second');
    await at().remove('one.json');
    await at().remove('one.json');
    await at().remove('no/such/folder.json');
    expect(await at().stat('one.json')).toBeNull();
  });

  it('says what to do when something is not there', async () => {
    const error = await trouble(gather(at().get('none.rdb')));
    expect(error.kind).toBe('NotFound');
    expect(error.message).toContain('redis-fleet backups list');
    expect(await at().stat('none.rdb')).toBeNull();
  });

  it('shows nothing before all of it is there, and keeps what was there before', async () => {
    await putText(at(), 'half.rdb', 'what was before');
    const seen: (string | null)[] = [];
    async function* failing(): Pieces {
      for await (const piece of inPieces(someContent(20_000_000), 1_000_000)) {
        yield piece;
        if (seen.length < 3) {
          const listed: string[] = [];
          for await (const { key } of at().list('half')) listed.push(key);
          expect(listed).toEqual(['half.rdb']);
          seen.push(await getText(at(), 'half.rdb'));
        }
      }
      throw new Error('the source failed');
    }
    await expect(at().put('half.rdb', failing(), { atMostBytes: 20_000_000 })).rejects.toThrow(
      'the source failed',
    );
    expect(seen).toEqual(['what was before', 'what was before', 'what was before']);
    expect(await getText(at(), 'half.rdb')).toBe('what was before');
    expect(await at().sweepUnfinished('', 0)).toBe(0);
  });

  it('can be told to stop', async () => {
    const stop = new AbortController();
    async function* endless(): Pieces {
      for (let count = 0; ; count++) {
        yield* inPieces(someContent(1_000_000), 1_000_000);
        if (count === 12) stop.abort();
      }
    }
    await expect(at().put('stopped.rdb', endless(), { signal: stop.signal })).rejects.toThrow(/abort/i);
    expect(await at().stat('stopped.rdb')).toBeNull();
  });

  it.each(['../outside.rdb', '/etc/passwd', 'a//b', '.hidden', 'a/.unfinished-b', 'a\0b', ''])(
    'takes %j for no key',
    async (key) => {
      expect((await trouble(putText(at(), key, 'x'))).kind).toBe('InvalidRequest');
      expect((await trouble(gather(at().get(key)))).kind).toBe('InvalidRequest');
    },
  );
});

it('a directory has nothing left over from all this', () => {
  const files = readdirSync(path.join(folder, 'backups'), { recursive: true }).map(String);
  expect(files.filter((file) => path.basename(file).startsWith('.'))).toEqual([]);
});
