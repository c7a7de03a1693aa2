/** What goes wrong with a bucket, each staged for real, and what an engineer is told. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { getText, putText } from '../../src/backups/store/smallObjects.js';
import type { BackupStore, Pieces } from '../../src/backups/store/store.js';
import type { ErrorKind } from '../../src/fleet/errors.js';
import { gather, inPieces, someContent } from '../unit/backupPieces.js';
import {
  ACCESS_KEY,
  mountSmall,
  removeFolder,
  SECRET_KEY,
  setCredentials,
  startNetwork,
  startS3,
  temporaryFolder,
  trouble,
  type Network,
  type S3Server,
} from './backupStage.js';

const MB = 1024 ** 2;
const CONTENT = someContent(40 * MB, 5);
const LARGE = { atMostBytes: CONTENT.length, repeatable: true };

let folder: string;
let s3: S3Server;
let network: Network;
const opened: BackupStore[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  s3 = await startS3(path.join(folder, 's3'));
});
beforeEach(async () => {
  network = await startNetwork(s3.port);
});
afterEach(() => {
  network.close();
  for (const store of opened.splice(0)) store.close();
});
afterAll(async () => {
  await s3.end();
  await removeFolder(folder);
});

async function storeAt(options: Parameters<S3Server['store']>[0] = {}): Promise<BackupStore> {
  const store = await s3.store(options);
  opened.push(store);
  return store;
}

describe('an upload', () => {
  it('that was cut off is gone on with: what is there is not sent again', async () => {
    const direct = await storeAt();
    const throughNetwork = await storeAt({ port: network.port });
    network.trouble({ cutAfterSent: 20 * MB });
    const error = await trouble(throughNetwork.put('cut/a.rdb', inPieces(CONTENT, MB), LARGE));
    expect(error.kind).toBe('Unreachable');
    expect(error.message).toMatch(
      /Could not store cut\/a.rdb in s3:\/\/backups .*cut off.*Nothing of it is to be seen/,
    );
    expect(await direct.stat('cut/a.rdb')).toBeNull();

    network.trouble({});
    const put = await throughNetwork.put('cut/a.rdb', inPieces(CONTENT, 700_000), LARGE);
    expect(put.bytes).toBe(CONTENT.length);
    expect(put.resumedBytes).toBeGreaterThanOrEqual(8 * MB);
    expect(network.sent()).toBeLessThan(CONTENT.length - put.resumedBytes + MB);
    expect((await gather(direct.get('cut/a.rdb'))).equals(CONTENT)).toBe(true);
    expect(await direct.sweepUnfinished('', 0)).toBe(0);
  });

  it('that had begun with other content is thrown away, and begins anew', async () => {
    const store = await storeAt({ port: network.port });
    network.trouble({ cutAfterSent: 28 * MB });
    await trouble(store.put('changed/a.rdb', inPieces(CONTENT, MB), LARGE));
    network.trouble({});
    const changed = Buffer.from(CONTENT);
    changed[100] = (changed[100] ?? 0) ^ 1;
    const error = await trouble(store.put('changed/a.rdb', inPieces(changed, MB), LARGE));
    expect(error.retryable).toBe(true);
    expect(error.message).toContain('had begun with other content');
    const put = await store.put('changed/a.rdb', inPieces(changed, MB), LARGE);
    expect(put.resumedBytes).toBe(0);
    expect((await gather(store.get('changed/a.rdb'))).equals(changed)).toBe(true);
  });

  it('that nobody goes on with is swept when it is old, and not before', async () => {
    const direct = await storeAt();
    network.trouble({ cutAfterSent: 20 * MB });
    await trouble((await storeAt({ port: network.port })).put('swept/a.rdb', inPieces(CONTENT, MB), LARGE));
    expect(await direct.sweepUnfinished('other/', 0)).toBe(0);
    expect(await direct.sweepUnfinished('swept/', 60_000)).toBe(0);
    expect(await direct.sweepUnfinished('swept/', 0)).toBe(1);
    expect(await direct.sweepUnfinished('', 0)).toBe(0);
  });

  it('that another attempt took away is not called done', async () => {
    const store = await storeAt();
    async function* robbed(): Pieces {
      yield* inPieces(CONTENT, MB);
      expect(await store.sweepUnfinished('robbed/', -60_000)).toBe(1);
    }
    const error = await trouble(store.put('robbed/a.rdb', robbed(), LARGE));
    expect(error.kind).toBe('Unreachable');
    expect(await store.stat('robbed/a.rdb')).toBeNull();
  });
});

describe('a read', () => {
  it('that is cut off goes on where it was', async () => {
    const direct = await storeAt();
    await direct.put('read/a.rdb', inPieces(CONTENT, MB), LARGE);
    network.trouble({ cutOnceAfterReceived: 15 * MB });
    const store = await storeAt({ port: network.port });
    expect((await gather(store.get('read/a.rdb'))).equals(CONTENT)).toBe(true);
  });

  it('that falls silent ends, and says so', async () => {
    const direct = await storeAt();
    await direct.put('silent/a.rdb', inPieces(CONTENT, MB), LARGE);
    network.trouble({ silentAfterReceived: 5 * MB });
    const store = await storeAt({ port: network.port, silenceMs: 500 });
    const error = await trouble(gather(store.get('silent/a.rdb')));
    expect(error.kind).toBe('Unreachable');
    expect(error.message).toMatch(/Could not read silent\/a.rdb .*(slow|silent|cut off)/);
  });
});

describe('an engineer is told', () => {
  it('of a bucket that is not there', async () => {
    const store = await storeAt({ bucket: 'nosuchbucket' });
    for (const work of [
      () => putText(store, 'a.json', '{}'),
      () => store.put('a.rdb', inPieces(CONTENT, MB), LARGE),
      () => store.stat('a.json'),
      () => getText(store, 'a.json'),
      () => listAll(store),
      () => store.sweepUnfinished('', 0),
    ]) {
      const error = await trouble(work());
      expect(error.kind).toBe('NotFound');
      expect(error.message).toMatch(/there is no bucket nosuchbucket.*Create it, or correct backups.store/);
    }
  });

  it('of keys that are wrong, without repeating them', async () => {
    setCredentials(ACCESS_KEY, 'NOTTHESECRETKEY');
    try {
      const store = await storeAt();
      for (const work of [
        () => putText(store, 'a.json', '{}'),
        () => store.stat('a.json'),
        () => getText(store, 'a.json'),
        () => listAll(store),
        () => store.put('a.rdb', inPieces(CONTENT, MB), LARGE),
        () => store.remove('a.json'),
      ]) {
        const error = await trouble(work());
        expect(error.kind).toBe('WrongCredentials');
        expect(error.message).not.toContain('NOTTHESECRETKEY');
      }
      const error = await trouble(putText(store, 'a.json', '{}'));
      expect(error.message).toContain('does not accept the credentials (SignatureDoesNotMatch');
      expect(error.message).toContain('Correct AWS_ACCESS_KEY_ID');
    } finally {
      setCredentials(ACCESS_KEY, SECRET_KEY);
    }
  });

  it('of keys that are nowhere to be found', async () => {
    const home = process.env['HOME'];
    delete process.env['AWS_ACCESS_KEY_ID'];
    delete process.env['AWS_SECRET_ACCESS_KEY'];
    process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
    process.env['HOME'] = folder;
    try {
      const error = await trouble((await storeAt()).stat('a.json'));
      expect(error.kind).toBe('WrongCredentials');
      expect(error.message).toMatch(/Correct AWS_ACCESS_KEY_ID/);
    } finally {
      delete process.env['AWS_EC2_METADATA_DISABLED'];
      process.env['HOME'] = home;
      setCredentials(ACCESS_KEY, SECRET_KEY);
    }
  });

  it('of a service that is not there, and of one that never answers', async () => {
    const port = network.port;
    network.trouble({ silentAfterReceived: 0 });
    const silent = await trouble((await storeAt({ port, silenceMs: 300 })).stat('a.json'));
    expect(silent.kind).toBe('Unreachable');
    expect(silent.message).toMatch(/too slow, or silent/);
    network.close();
    const refused = await trouble((await storeAt({ port })).stat('a.json'));
    expect(refused.kind).toBe('Unreachable');
    expect(refused.message).toMatch(/refused or cut off.*ECONNREFUSED.*see that the service runs/);
  });

  it('of a store that is full', async (context) => {
    const small = await mountSmall(path.join(folder, 'small'), '24m', context);
    const full = await startS3(small.folder);
    try {
      const store = await full.store();
      opened.push(store);
      const error = await trouble(store.put('full/a.rdb', inPieces(CONTENT, MB), LARGE));
      // This service does not say why, and may just hang up; others do say it (below).
      expect(error.kind).toBe('Unreachable');
      expect(error.message, error.message).toMatch(/room on its disks/);
      expect(await store.stat('full/a.rdb')).toBeNull();
    } finally {
      await full.end();
      small.unmount();
    }
  });
});

describe('what services answer is put into words', () => {
  it.each<[string, number, ErrorKind, RegExp]>([
    ['AccessDenied', 403, 'WrongCredentials', /do not permit it .*give them s3:ListBucket/],
    ['ExpiredToken', 400, 'WrongCredentials', /does not accept the credentials/],
    ['XMinioStorageFull', 507, 'DiskFull', /it is full.*Make room there: redis-fleet backups expire/],
    ['QuotaExceeded', 403, 'DiskFull', /a quota is used up/],
    ['SlowDown', 503, 'Unreachable', /too slow/],
    ['InternalError', 500, 'Unreachable', /the service failed/],
    ['PermanentRedirect', 301, 'InvalidRequest', /in another region.*\?region=/],
    ['MalformedXML', 400, 'InvalidRequest', /the service refuses it/],
  ])('%s', async (code, status, kind, words) => {
    const server = createServer((request, response) => {
      request.resume().on('end', () => {
        response.writeHead(status, { 'content-type': 'application/xml' });
        response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>No.</Message></Error>`);
      });
    }).listen(0, '127.0.0.1');
    try {
      await once(server, 'listening');
      const store = await storeAt({ port: (server.address() as AddressInfo).port });
      const error = await trouble(putText(store, 'a.json', '{}'));
      expect(error.kind).toBe(kind);
      expect(error.message).toMatch(words);
      expect(error.message).toMatch(/^Could not store a.json in s3:.*Nothing of it is to be seen/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

async function listAll(store: BackupStore): Promise<void> {
  for await (const object of store.list('')) expect(object.key).toBeTypeOf('string');
}
