/**
 * Uploads in parts, which can be gone on with. The SDK's own upload helper cannot: it neither looks for an unfinished
 * upload nor asks which parts are there. A part that is there is compared by its MD5, which is its ETag, so that the
 * content may be made anew; nothing has to be remembered on our side.
 */

import { createHash } from 'node:crypto';
import type { CompletedPart, ListMultipartUploadsCommandOutput, MultipartUpload } from '@aws-sdk/client-s3';
import { FleetError } from '../../fleet/errors.js';
import type { S3Bucket } from './s3Client.js';
import { codeOf } from './s3Errors.js';
import type { Pieces, Put, PutOptions } from './store.js';

/** S3 takes none smaller, but for the last. */
const LEAST_PART_BYTES = 8 * 1024 ** 2;
/** Of 10,000 that S3 takes; the rest is for content that grows a little when it is not compressible. */
const MOST_PARTS = 9_500;
const PARTS_AT_ONCE = 2;

export function partBytesFor(atMostBytes: number): number {
  const step = 1024 ** 2;
  return Math.max(LEAST_PART_BYTES, Math.ceil(atMostBytes / MOST_PARTS / step) * step);
}

interface Part {
  readonly number: number;
  readonly body: Buffer;
  readonly last: boolean;
}

/** What an earlier attempt had sent. */
interface Begun {
  readonly uploadId: string;
  readonly parts: ReadonlyMap<number, { readonly etag: string; readonly bytes: number }>;
}

export async function upload(
  s3: S3Bucket,
  key: string,
  content: Pieces,
  { atMostBytes = 0, repeatable = false, signal }: PutOptions,
): Promise<Put> {
  const options = signal === undefined ? {} : { abortSignal: signal };
  const object = { Bucket: s3.bucket, Key: s3.prefix + key };
  let begun: Begun | null = null;
  const completed: CompletedPart[] = [];
  let bytes = 0;
  let resumedBytes = 0;

  const send = async ({ number, body }: Part, { uploadId, parts }: Begun): Promise<void> => {
    const there = parts.get(number);
    if (there !== undefined) {
      if (there.bytes !== body.length || there.etag !== md5(body)) throw otherContent(s3, key);
      resumedBytes += body.length;
      completed.push({ PartNumber: number, ETag: `"${there.etag}"` });
      return;
    }
    const part = {
      ...object,
      UploadId: uploadId,
      PartNumber: number,
      Body: body,
      ContentLength: body.length,
    };
    const { ETag } = await s3.client.send(new s3.sdk.UploadPartCommand(part), options);
    completed.push({ PartNumber: number, ...(ETag === undefined ? {} : { ETag }) });
  };

  const sending = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const heedFailures = (): void => {
    if (failures.length > 0) throw failures[0];
  };
  try {
    const buffers = new PartBuffers(partBytesFor(atMostBytes));
    for await (const part of inParts(content, buffers)) {
      signal?.throwIfAborted();
      bytes += part.body.length;
      if (part.number === 1 && part.last) {
        // One request is at once there, or not at all.
        await s3.client.send(new s3.sdk.PutObjectCommand({ ...object, Body: part.body }), options);
        return { bytes, resumedBytes };
      }
      begun ??= repeatable ? await findBegun(s3, key, signal) : null;
      begun ??= await begin(s3, key, signal);
      const sent = send(part, begun)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => {
          sending.delete(sent);
          buffers.giveBack(part.body);
        });
      sending.add(sent);
      if (sending.size >= PARTS_AT_ONCE) await Promise.race(sending);
      heedFailures();
    }
    await Promise.all(sending);
    heedFailures();
    if (begun === null) throw new Error('an upload without any part');
    const Parts = completed.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    await complete(s3, key, begun.uploadId, Parts, bytes, signal);
    return { bytes, resumedBytes };
  } catch (error) {
    await Promise.all(sending);
    // What can be gone on with stays there; a sweep takes what nobody goes on with.
    if (begun !== null && (!repeatable || error instanceof OtherContent))
      await abandon(s3, s3.prefix + key, begun.uploadId);
    throw error;
  }
}

/** Every unfinished upload whose key begins with `prefix`, which already holds the store's own. */
export async function unfinished(
  { sdk, client, bucket }: S3Bucket,
  prefix: string,
  signal?: AbortSignal,
): Promise<readonly MultipartUpload[]> {
  const found: MultipartUpload[] = [];
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const page = await uploadsPage({ sdk, client, bucket }, { Prefix: prefix, ...marker }, signal);
    found.push(...(page.Uploads ?? []));
    if (page.IsTruncated !== true || page.NextKeyMarker === undefined) return found;
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker === undefined ? {} : { UploadIdMarker: page.NextUploadIdMarker }),
    };
  }
}

async function uploadsPage(
  { sdk, client, bucket }: Pick<S3Bucket, 'sdk' | 'client' | 'bucket'>,
  where: { readonly Prefix: string; readonly KeyMarker?: string; readonly UploadIdMarker?: string },
  signal?: AbortSignal,
): Promise<Partial<ListMultipartUploadsCommandOutput>> {
  try {
    return await client.send(
      new sdk.ListMultipartUploadsCommand({ Bucket: bucket, ...where }),
      signal === undefined ? {} : { abortSignal: signal },
    );
  } catch (error) {
    // What some services say when a bucket never had one.
    if (codeOf(error) === 'NoSuchUpload') return {};
    throw error;
  }
}

/** @param fullKey with the store's prefix */
export async function abandon(
  { sdk, client, bucket }: S3Bucket,
  fullKey: string,
  uploadId: string,
): Promise<boolean> {
  try {
    await client.send(
      new sdk.AbortMultipartUploadCommand({ Bucket: bucket, Key: fullKey, UploadId: uploadId }),
    );
    return true;
  } catch {
    // Gone already, or out of reach: a sweep sees it again.
    return false;
  }
}

async function begin(
  { sdk, client, bucket, prefix }: S3Bucket,
  key: string,
  signal?: AbortSignal,
): Promise<Begun> {
  const { UploadId } = await client.send(
    new sdk.CreateMultipartUploadCommand({ Bucket: bucket, Key: prefix + key }),
    signal === undefined ? {} : { abortSignal: signal },
  );
  if (UploadId === undefined)
    throw new FleetError('Unreachable', `The S3 service began an upload without an id.`);
  return { uploadId: UploadId, parts: new Map() };
}

async function findBegun(s3: S3Bucket, key: string, signal?: AbortSignal): Promise<Begun | null> {
  const ours = (await unfinished(s3, s3.prefix + key, signal))
    .filter((candidate) => candidate.Key === s3.prefix + key)
    .toSorted((a, b) => (b.Initiated?.getTime() ?? 0) - (a.Initiated?.getTime() ?? 0));
  const uploadId = ours[0]?.UploadId;
  if (uploadId === undefined) return null;
  const parts = new Map<number, { etag: string; bytes: number }>();
  let marker: string | undefined;
  for (;;) {
    const page = await s3.client.send(
      new s3.sdk.ListPartsCommand({
        Bucket: s3.bucket,
        Key: s3.prefix + key,
        UploadId: uploadId,
        ...(marker === undefined ? {} : { PartNumberMarker: marker }),
      }),
      signal === undefined ? {} : { abortSignal: signal },
    );
    for (const { PartNumber, ETag, Size } of page.Parts ?? []) {
      if (PartNumber !== undefined && ETag !== undefined) {
        parts.set(PartNumber, { etag: ETag.replaceAll('"', ''), bytes: Size ?? -1 });
      }
    }
    if (page.IsTruncated !== true || page.NextPartNumberMarker === undefined) return { uploadId, parts };
    marker = page.NextPartNumberMarker;
  }
}

async function complete(
  s3: S3Bucket,
  key: string,
  uploadId: string,
  Parts: CompletedPart[],
  bytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const object = { Bucket: s3.bucket, Key: s3.prefix + key };
  const options = signal === undefined ? {} : { abortSignal: signal };
  try {
    const command = { ...object, UploadId: uploadId, MultipartUpload: { Parts } };
    await s3.client.send(new s3.sdk.CompleteMultipartUploadCommand(command), options);
  } catch (error) {
    if (codeOf(error) !== 'NoSuchUpload') throw error;
    // An answer that was lost, or another attempt that was quicker: either way it may be there.
    const head = await s3.client.send(new s3.sdk.HeadObjectCommand(object), options).catch(() => null);
    if (head?.ContentLength !== bytes) throw error;
  }
}

/** Kept apart from other troubles, since that upload is good for nothing. */
class OtherContent extends FleetError {}

function otherContent(s3: S3Bucket, key: string): OtherContent {
  return new OtherContent(
    'Unreachable',
    `An earlier attempt to store ${key} in ${s3.name} had begun with other content, or the service keeps no MD5 of parts. ` +
      'What it had sent was thrown away, and nothing is to be seen under that name. It is tried again from the start.',
  );
}

/** A bound on memory: who wants one more than there are waits for one that comes back. */
class PartBuffers {
  readonly #free: Buffer[] = [];

  constructor(readonly bytes: number) {}

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  giveBack(part: Buffer): void {
    this.#free.push(Buffer.from(part.buffer, 0, this.bytes));
  }
}

/** The last one may be empty when it is the only one. */
async function* inParts(content: Pieces, buffers: PartBuffers): AsyncGenerator<Part> {
  let number = 1;
  let buffer = buffers.take();
  let filled = 0;
  for await (const piece of content) {
    for (let at = 0; at < piece.length;) {
      if (filled === buffer.length) {
        yield { number, body: buffer, last: false };
        number += 1;
        buffer = buffers.take();
        filled = 0;
      }
      const taken = Math.min(buffer.length - filled, piece.length - at);
      buffer.set(piece.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
    }
  }
  yield { number, body: buffer.subarray(0, filled), last: true };
}

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}
