/** Backups in a bucket of an S3 service. */

import type { Readable } from 'node:stream';
import type { StoredObject } from '../../fleet/backup.js';
import type { StoreLocation } from '../../fleet/backupStoreUrl.js';
import { FleetError } from '../../fleet/errors.js';
import { checkKey } from './keys.js';
import { asS3Error, codeOf, statusOf } from './s3Errors.js';
import { connectBucket, type S3Bucket, type S3Patience } from './s3Client.js';
import { abandon, unfinished, upload } from './s3Upload.js';
import type { BackupStore, GetOptions, Pieces } from './store.js';

/** A read that is cut off goes on where it was, so often without a byte in between. */
const CUTS = 4;
const READ = 'The store is as it was.';

export async function s3Store(
  location: Extract<StoreLocation, { kind: 's3' }>,
  patience?: S3Patience,
): Promise<BackupStore> {
  const s3 = await connectBucket(location, patience);
  const { sdk, client, bucket: Bucket, prefix: root, name } = s3;
  const Key = (key: string): string => root + checkKey(key);
  const inWords = async <T>(what: string, kept: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw asS3Error(error, s3, what, kept);
    }
  };

  return {
    name,

    put: (key, content, options = {}) =>
      inWords(`store ${key}`, 'Nothing of it is to be seen under that name.', () => {
        checkKey(key);
        return upload(s3, key, content, options);
      }),

    get: (key, options = {}) => read(s3, key, options),

    stat: (key) =>
      inWords(`look at ${key}`, READ, async () => {
        try {
          const head = await client.send(new sdk.HeadObjectCommand({ Bucket, Key: Key(key) }));
          return describe(key, head.ContentLength, head.LastModified);
        } catch (error) {
          if (statusOf(error) !== 404) throw error;
          // The answer to this question has no body: a missing bucket looks the same.
          await client.send(new sdk.ListObjectsV2Command({ Bucket, Prefix: Key(key), MaxKeys: 1 }));
          return null;
        }
      }),

    async *list(prefix) {
      let token: string | undefined;
      do {
        const page = await inWords('list the backups', READ, () =>
          client.send(
            new sdk.ListObjectsV2Command({
              Bucket,
              Prefix: root + prefix,
              ...(token === undefined ? {} : { ContinuationToken: token }),
            }),
          ),
        );
        for (const { Key: found, Size, LastModified } of page.Contents ?? []) {
          if (found !== undefined) yield describe(found.slice(root.length), Size, LastModified);
        }
        token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      } while (token !== undefined);
    },

    remove: (key) =>
      inWords(`remove ${key}`, 'It may still be there.', async () => {
        try {
          await client.send(new sdk.DeleteObjectCommand({ Bucket, Key: Key(key) }));
        } catch (error) {
          if (codeOf(error) !== 'NoSuchKey') throw error;
        }
      }),

    sweepUnfinished: (prefix, olderThanMs) =>
      inWords('sweep unfinished uploads', READ, async () => {
        let removed = 0;
        for (const { Key: found, UploadId, Initiated } of await unfinished(s3, root + prefix)) {
          if (found === undefined || UploadId === undefined) continue;
          if ((Initiated?.getTime() ?? 0) > Date.now() - olderThanMs) continue;
          if (await abandon(s3, found, UploadId)) removed += 1;
        }
        return removed;
      }),

    close() {
      client.destroy();
    },
  };
}

function describe(key: string, bytes: number | undefined, modified: Date | undefined): StoredObject {
  return { key, bytes: bytes ?? 0, modifiedAt: (modified ?? new Date(0)).toISOString() };
}

async function* read(s3: S3Bucket, key: string, { from = 0, signal }: GetOptions): Pieces {
  const options = signal === undefined ? {} : { abortSignal: signal };
  const Key = s3.prefix + checkKey(key);
  let at = from;
  let end: number | null = null;
  let etag: string | undefined;
  let cuts = 0;
  while (end === null || at < end) {
    const before = at;
    try {
      const answer = await s3.client.send(
        new s3.sdk.GetObjectCommand({
          Bucket: s3.bucket,
          Key,
          ...(at === 0 ? {} : { Range: `bytes=${at}-` }),
          // Never the rest of another one.
          ...(etag === undefined ? {} : { IfMatch: etag }),
        }),
        options,
      );
      etag ??= answer.ETag;
      end ??= at + (answer.ContentLength ?? 0);
      for await (const piece of answer.Body as Readable) {
        at += (piece as Buffer).length;
        yield piece as Buffer;
      }
      if (at >= end) return;
      throw new FleetError(
        'Unreachable',
        `${key} in ${s3.name} (${s3.at}) ended after ${at} of ${end} bytes: the connection was cut off. Nothing was ` +
          'restored from it. Retry.',
      );
    } catch (error) {
      const known = asS3Error(error, s3, `read ${key}`, READ);
      if (codeOf(error) === 'NoSuchKey') {
        throw new FleetError(
          'NotFound',
          `There is no ${key} in ${s3.name}. List what there is: redis-fleet backups list.`,
        );
      }
      // Past its end: there is no more of it.
      if (statusOf(error) === 416) return;
      cuts = at > before ? 0 : cuts + 1;
      const again =
        end !== null && known instanceof FleetError && known.kind === 'Unreachable' && cuts < CUTS;
      if (!again) throw known;
    }
  }
}
