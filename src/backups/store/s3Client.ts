/** The AWS SDK's client for one bucket. The SDK is large: it is loaded only where backups go to S3. */

import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type * as Sdk from '@aws-sdk/client-s3';
import type { StoreLocation } from '../../fleet/backupStoreUrl.js';

export interface S3Patience {
  /** Until a connection stands. */
  readonly connectMs: number;
  /** Without a single byte, either way. */
  readonly silenceMs: number;
  /** Tries of one request, with growing pauses between them. */
  readonly attempts: number;
}

export const DEFAULT_PATIENCE: S3Patience = { connectMs: 5_000, silenceMs: 30_000, attempts: 4 };

/** Parts under way at once, and a little beside them. */
const MOST_SOCKETS = 8;

export interface S3Bucket {
  readonly sdk: typeof Sdk;
  readonly client: Sdk.S3Client;
  readonly bucket: string;
  /** Ends in a slash, or is ''. */
  readonly prefix: string;
  /** `s3://bucket/prefix`. */
  readonly name: string;
  /** Where the service is, for messages. */
  readonly at: string;
}

/** Credentials are those that the AWS SDK finds: environment, profile, web identity, an instance's role. */
export async function connectBucket(
  location: Extract<StoreLocation, { kind: 's3' }>,
  patience: S3Patience = DEFAULT_PATIENCE,
): Promise<S3Bucket> {
  // Said on every start of every agent otherwise; which version of Node is needed is for package.json to say.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const [sdk, { NodeHttpHandler }] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('@smithy/node-http-handler'),
  ]);
  const { bucket, prefix, region, endpoint, pathStyle } = location;
  const sockets = { keepAlive: true, maxSockets: MOST_SOCKETS };
  const client = new sdk.S3Client({
    ...(endpoint === null ? {} : { endpoint }),
    // A service of one's own has no regions, and the SDK insists on a word.
    ...(region === null ? (endpoint === null ? {} : { region: 'us-east-1' }) : { region }),
    forcePathStyle: pathStyle,
    maxAttempts: patience.attempts,
    // The SDK's own checksums are not understood by every service, and confuse parts of an object with the whole at some;
    // a signature (http) or TLS protects each request, and the SHA-256 in the manifest the whole.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new NodeHttpHandler({
      connectionTimeout: patience.connectMs,
      socketTimeout: patience.silenceMs,
      httpAgent: new HttpAgent(sockets),
      httpsAgent: new HttpsAgent(sockets),
    }),
  });
  return {
    sdk,
    client,
    bucket,
    prefix: prefix === '' ? '' : `${prefix}/`,
    name: `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`,
    at: endpoint ?? (region === null ? 'Amazon S3' : `Amazon S3 in ${region}`),
  };
}
