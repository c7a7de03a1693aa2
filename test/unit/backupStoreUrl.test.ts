import { describe, expect, it } from 'vitest';
import { parseStoreUrl } from '../../src/fleet/backupStoreUrl.js';

describe('where backups are kept', () => {
  it.each([
    ['file:backups', { kind: 'directory', path: 'backups' }],
    ['file:/srv/backups', { kind: 'directory', path: '/srv/backups' }],
    ['file:///srv/backups', { kind: 'directory', path: '/srv/backups' }],
    [
      's3://my-backups',
      { kind: 's3', bucket: 'my-backups', prefix: '', region: null, endpoint: null, pathStyle: false },
    ],
    [
      's3://my-backups/redis/prod/?region=eu-central-1',
      {
        kind: 's3',
        bucket: 'my-backups',
        prefix: 'redis/prod',
        region: 'eu-central-1',
        endpoint: null,
        pathStyle: false,
      },
    ],
    [
      's3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1',
      {
        kind: 's3',
        bucket: 'bucket',
        prefix: 'prefix',
        region: 'us-east-1',
        endpoint: 'http://127.0.0.1:9000',
        pathStyle: true,
      },
    ],
    [
      's3://bucket?endpoint=https://s3.example.org&pathStyle=false',
      {
        kind: 's3',
        bucket: 'bucket',
        prefix: '',
        region: null,
        endpoint: 'https://s3.example.org',
        pathStyle: false,
      },
    ],
  ])('%s', (url, location) => {
    expect(parseStoreUrl(url)).toEqual({ ok: true, value: location });
  });

  it.each([
    ['/srv/backups', 'is not a backup store'],
    ['file:', 'is not a backup store'],
    ['gs://bucket', 'is not a backup store'],
    [17, 'is not a backup store'],
    ['s3://b', 'has no bucket'],
    ['s3://bucket/a b', 'is not a prefix'],
    ['s3://bucket?regoin=x', '"regoin" is not a parameter of a store'],
    ['s3://bucket?endpoint=localhost', 'the endpoint is not an address'],
    ['s3://bucket?pathStyle=yes', 'pathStyle is "yes"'],
  ])('%j is refused', (url, problem) => {
    expect(parseStoreUrl(url)).toMatchObject({
      ok: false,
      problem: expect.stringContaining(problem) as string,
    });
  });

  it.each([
    's3://AKIAEXAMPLE:hunter22@bucket/prefix',
    's3://bucket?endpoint=http://me:hunter22@127.0.0.1:9000',
  ])('a secret in it is refused, and not repeated: %s', (url) => {
    const parsed = parseStoreUrl(url);
    expect(parsed.ok).toBe(false);
    expect(JSON.stringify(parsed)).not.toContain('hunter22');
  });
});
