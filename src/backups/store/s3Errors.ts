/** What an S3 service answers, or fails to, as a sentence that says what to do. */

import { FleetError, messageOf } from '../../fleet/errors.js';
import type { S3Bucket } from './s3Client.js';

const WRONG_KEYS = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
  'TokenRefreshRequired',
  'AuthorizationHeaderMalformed',
  'CredentialsProviderError',
]);
const FULL = /storagefull|quotaexceeded|insufficientstorage|diskfull|no space left|entitytoolarge/i;
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
]);
const SLOW = /timeout|timed out|slowdown|toomanyrequests|throttl|requesttimetooskewed/i;

/**
 * @param what ends "could not"
 * @param kept a sentence about what is still safe
 */
export function asS3Error(
  error: unknown,
  { name, bucket, at }: S3Bucket,
  what: string,
  kept: string,
): unknown {
  if (error instanceof FleetError || (error instanceof Error && error.name === 'AbortError')) return error;
  const { code, status, cause } = factsOf(error);
  const story = `Could not ${what} in ${name} (${at})`;
  const said = `${code === '' ? '' : `${code}: `}${messageOf(error)}`;
  const fail = (kind: ConstructorParameters<typeof FleetError>[0], why: string, remedy: string): FleetError =>
    new FleetError(kind, `${story}: ${why}. ${kept} ${remedy}`, { cause: error });

  if (code === 'NoSuchBucket') {
    return fail(
      'NotFound',
      `there is no bucket ${bucket}`,
      'Create it, or correct backups.store in the fleet file.',
    );
  }
  if (code === 'NoSuchUpload') {
    return fail(
      'Unreachable',
      'the upload was ended, by somebody else or by the service',
      'It is tried again from the start. Some services end one when they are full: see that there is room on its disks.',
    );
  }
  if (code === 'PermanentRedirect' || code === 'IllegalLocationConstraintException' || status === 301) {
    return fail(
      'InvalidRequest',
      `the bucket ${bucket} is in another region`,
      'Write its region into backups.store, as ?region=…',
    );
  }
  if (WRONG_KEYS.has(code)) {
    return fail(
      'WrongCredentials',
      `the service does not accept the credentials (${said})`,
      'Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role of the process that said this, ' +
        'look at the clock of its host, and try again.',
    );
  }
  if (status === 507 || FULL.test(code) || FULL.test(messageOf(error))) {
    return fail(
      'DiskFull',
      `it is full, or a quota is used up (${said})`,
      'Make room there: redis-fleet backups expire shows what may go; then retry.',
    );
  }
  if (code === 'AccessDenied' || code === 'AllAccessDisabled' || status === 401 || status === 403) {
    return fail(
      'WrongCredentials',
      `the credentials do not permit it (${said}, HTTP ${status ?? 403})`,
      `See that the keys are right, and give them s3:ListBucket and s3:ListBucketMultipartUploads on ${bucket}, and ` +
        's3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on what is ' +
        'in it.',
    );
  }
  // First: the SDK calls a connection that was cut a timeout.
  if (UNREACHABLE.has(code) || UNREACHABLE.has(cause)) {
    return fail(
      'Unreachable',
      `the connection was refused or cut off (${said})`,
      'It is tried again; see that the service runs and has room on its disks, and that the endpoint in backups.store is ' +
        'right.',
    );
  }
  if (
    SLOW.test(code) ||
    SLOW.test(messageOf(error)) ||
    (error instanceof Error && error.name === 'TimeoutError')
  ) {
    return fail(
      'Unreachable',
      `it is too slow, or silent (${said})`,
      'It is tried again; look at the network between, and at the service.',
    );
  }
  if (status !== null && status >= 500) {
    return fail(
      'Unreachable',
      `the service failed (${said}, HTTP ${status})`,
      'It is tried again; look at the log of the service, and at the room on its disks.',
    );
  }
  if (status !== null && status >= 400) {
    return fail(
      'InvalidRequest',
      `the service refuses it (${said}, HTTP ${status})`,
      'Look at backups.store.',
    );
  }
  return error;
}

/** The service's own word for what is wrong, or that of the network. */
export function codeOf(error: unknown): string {
  return factsOf(error).code;
}

export function statusOf(error: unknown): number | null {
  return factsOf(error).status;
}

function factsOf(error: unknown): { code: string; status: number | null; cause: string } {
  if (!(error instanceof Error)) return { code: '', status: null, cause: '' };
  const metadata: unknown = Reflect.get(error, '$metadata');
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata
      ? metadata.httpStatusCode
      : null;
  const own: unknown = Reflect.get(error, 'Code') ?? Reflect.get(error, 'code');
  const name = ['Error', 'Unknown', 'UnknownError'].includes(error.name) ? '' : error.name;
  return {
    code: typeof own === 'string' && own !== '' ? own : name,
    status: typeof status === 'number' ? status : null,
    cause: error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : '',
  };
}
