/**
 * Where backups are kept, as the fleet file writes it: `file:backups`, `file:/srv/backups`, or
 * `s3://bucket/prefix?region=eu-central-1&endpoint=https://s3.example.org`.
 */

import { quote } from './quantities.js';
import type { Parsed } from './quantities.js';

export type StoreLocation =
  /** A relative path is one within the program's own data directory. */
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      /** Without slashes at its ends; '' for none. */
      readonly prefix: string;
      /** null: as the AWS SDK finds it. */
      readonly region: string | null;
      /** null: Amazon's own. */
      readonly endpoint: string | null;
      /** The bucket is a part of the path, not of the host name. Default: where an endpoint is named. */
      readonly pathStyle: boolean;
    };

const EXAMPLES = 'write for example "file:backups" or "s3://bucket/prefix?region=eu-central-1" instead';
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/;
const PARAMETERS = ['region', 'endpoint', 'pathStyle'];

/** Problems complete a sentence that begins with the name of the field. */
export function parseStoreUrl(value: unknown): Parsed<StoreLocation> {
  if (typeof value !== 'string') return refuse(`${quote(value)} is not a backup store, ${EXAMPLES}`);
  if (/^file:./.test(value)) {
    const path = value.slice('file:'.length).replace(/^\/\/(?=\/)/, '');
    return { ok: true, value: { kind: 'directory', path } };
  }
  if (!value.startsWith('s3://') || !URL.canParse(value)) {
    return refuse(`${quote(value)} is not a backup store, ${EXAMPLES}`);
  }
  const url = new URL(value);
  // Not quoted: it would show the secret once more.
  if (url.username !== '' || url.password !== '' || url.port !== '' || url.hash !== '') {
    return refuse(
      'this holds more than a bucket, a prefix and parameters; credentials do not belong into a fleet file, but where ' +
        `the AWS SDK finds them (AWS_PROFILE, AWS_ACCESS_KEY_ID, an instance's role), ${EXAMPLES}`,
    );
  }
  if (!BUCKET.test(url.hostname)) {
    return refuse(`${quote(value)} has no bucket (3 to 63 of a-z, 0-9, . and -), ${EXAMPLES}`);
  }
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  if (prefix !== '' && !PREFIX.test(prefix)) {
    return refuse(
      `${quote(prefix)} is not a prefix (words of A-Z, a-z, 0-9, ., _ and -, between slashes), ${EXAMPLES}`,
    );
  }
  const unknown = [...url.searchParams.keys()].find((key) => !PARAMETERS.includes(key));
  if (unknown !== undefined) {
    return refuse(
      `${quote(unknown)} is not a parameter of a store, write one of ${PARAMETERS.join(', ')} instead`,
    );
  }
  const endpoint = url.searchParams.get('endpoint');
  if (endpoint !== null && !isEndpoint(endpoint)) {
    return refuse(
      'the endpoint is not an address like https://s3.example.org:9000, without user and password',
    );
  }
  const pathStyle = url.searchParams.get('pathStyle');
  if (pathStyle !== null && pathStyle !== 'true' && pathStyle !== 'false') {
    return refuse(`pathStyle is ${quote(pathStyle)}, write true or false instead`);
  }
  return {
    ok: true,
    value: {
      kind: 's3',
      bucket: url.hostname,
      prefix,
      region: url.searchParams.get('region'),
      endpoint,
      pathStyle: pathStyle === null ? endpoint !== null : pathStyle === 'true',
    },
  };
}

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === '';
}

function refuse(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem };
}
