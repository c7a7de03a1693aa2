/** The end of a process's log: why it died. */

import { open } from 'node:fs/promises';
import { withoutSecrets } from '../connections/redaction.js';
import type { ErrorKind } from '../fleet/errors.js';
import { isMissing } from './diskErrors.js';

/** A crash report with everything in it takes some ten of them. */
const TAIL_BYTES = 64 * 1024;
const LINES = 12;
/** A crash report and a refused configuration quote lines of redis.conf, and one of them holds a password. */
const SECRET_SETTING = /((?:masterauth|requirepass|>>>\s*'user)\s+).*/i;

/** The last lines written since byte `from`, without secrets; empty when there are none. */
export async function readLastWords(log: string, from = 0): Promise<string> {
  let handle;
  try {
    handle = await open(log, 'r');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
  try {
    const { size } = await handle.stat();
    const start = Math.max(from, size - TAIL_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    await handle.read(buffer, 0, buffer.length, start);
    return tidy(buffer.toString('utf8'));
  } finally {
    await handle.close();
  }
}

/** Stack, registers, INFO and the memory test: a page of them, behind which nobody finds what had happened before. */
const CRASH_REPORT = /^-{6} STACK TRACE -{6}$[^]*?(?:^=== REDIS BUG REPORT END.*$|(?![^]))/gm;
const CRASH_ADVICE =
  /^(?:Please report the crash|http:\/\/github\.com\/|If a Redis module|Suspect RAM error|Some other issues)/;
/** What the check of a damaged data file says of its head. */
const HEAD_OF_DATA_FILE = /^\[offset \d+\] (?:AUX FIELD|Selecting DB)/;

function tidy(text: string): string {
  const lines = text
    .replace(CRASH_REPORT, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => withoutSecrets(line.replace(SECRET_SETTING, '$1***')))
    .filter((line) => !CRASH_ADVICE.test(line) && !HEAD_OF_DATA_FILE.test(line))
    // A process that follows nobody says so every second: that hides what matters.
    .filter((line) => !/Connecting to MASTER 127\.0\.0\.1:1$|MASTER <-> REPLICA sync started$/.test(line))
    .filter((line) => !/Error condition on socket for SYNC: Connection refused$/.test(line));
  return lines.slice(-LINES).join('\n');
}

/** Bytes written to a log so far. */
export async function logSize(log: string): Promise<number> {
  try {
    const handle = await open(log, 'r');
    try {
      return (await handle.stat()).size;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

const CAUSES: readonly (readonly [RegExp, ErrorKind])[] = [
  [
    /Wrong signature|RDB CRC error|Short read or OOM|Can't handle RDB format|rdb file reading failure|Internal error in RDB|Bad file format|Unknown RDB|Invalid .* in RDB|RDB has duplicated key|RDB ERROR DETECTED/i,
    'BadDataFile',
  ],
  // It crashed before it had loaded: of other damages, Redis does not see that they are some.
  [/Loading RDB produced by(?:(?!DB loaded)[^])*REDIS BUG REPORT START/, 'BadDataFile'],
  [/Address already in use/i, 'PortInUse'],
  [/No space left on device|Disk quota exceeded/i, 'DiskFull'],
];

/** Which kind of trouble a dead process's last words tell of. */
export function causeOfDeath(lastWords: string): ErrorKind {
  return CAUSES.find(([pattern]) => pattern.test(lastWords))?.[1] ?? 'ProcessDied';
}
