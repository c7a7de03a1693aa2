/** A sample of a backup's data: taken when it is stored, and compared with what a drill has loaded. */

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { RDB_SAMPLE_BYTES, sampleOf, type SampledKey } from '../fleet/rdbSample.js';

/** @param file an RDB file as Redis wrote it */
export async function readSample(file: string): Promise<readonly SampledKey[]> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(RDB_SAMPLE_BYTES), 0, RDB_SAMPLE_BYTES, 0);
    return sampleOf(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

/** SHA-256 in hexadecimal digits, of every key and value with its length before it. */
export function sampleDigest(sample: readonly SampledKey[]): string {
  const hash = createHash('sha256');
  for (const { key, value } of sample) {
    for (const text of [key, value]) hash.update(`${String(text.length)}:`).update(text, 'latin1');
  }
  return hash.digest('hex');
}
