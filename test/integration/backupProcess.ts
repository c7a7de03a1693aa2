/** One piece of work on a backup, in a process of its own: one that can be killed, or whose memory is measured. */

import { readKeyring } from '../../src/backups/keyring.js';
import { restoreFile } from '../../src/backups/restoreFile.js';
import { openStore } from '../../src/backups/store/openStore.js';
import { storeBackup, type BackupJob } from '../../src/backups/storeBackup.js';
import { verifyBackup } from '../../src/backups/verifyBackup.js';

export interface BackupWork {
  readonly work: 'store' | 'verify' | 'restore';
  readonly url: string;
  readonly job: BackupJob;
  readonly level: number | null;
  readonly bytesPerSecond: number | null;
  /** Where a restored file goes. */
  readonly target: string;
}

/** Lines of JSON on stdout: progress, and in the end the result. */
export type BackupWord =
  | { readonly storedBytes: number }
  /** Resident memory at its highest, beyond what it was when all was loaded and nothing begun. */
  | {
      readonly done: true;
      readonly extraBytes: number;
      readonly seconds: number;
      readonly cpuSeconds: number;
    };

const SAMPLE_EVERY_MS = 5;

function say(word: BackupWord): void {
  process.stdout.write(`${JSON.stringify(word)}\n`);
}

const { work, url, job, level, bytesPerSecond, target } = JSON.parse(process.argv.at(-1) ?? '') as BackupWork;
const store = await openStore(url, { base: '/' });
const keyring = await readKeyring(process.env);
// Connects, so that what that loads is not counted.
await store.stat('nothing.json');

const before = process.memoryUsage.rss();
let highest = before;
const sampling = setInterval(() => (highest = Math.max(highest, process.memoryUsage.rss())), SAMPLE_EVERY_MS);
const began = performance.now();
const cpuBefore = process.cpuUsage();
if (work === 'store') {
  const form = {
    compression: level === null ? null : { level },
    recipients: keyring.recipients,
    bytesPerSecond,
  };
  let told = 0;
  await storeBackup(store, job, form, {
    onProgress({ storedBytes }) {
      if (storedBytes < told + 1024 ** 2) return;
      told = storedBytes;
      say({ storedBytes });
    },
  });
} else if (work === 'verify') {
  const verdict = await verifyBackup(store, job, { keyring });
  if (verdict.kind !== 'sound') throw new Error(JSON.stringify(verdict));
} else {
  await restoreFile(store, job, target, { keyring });
}
clearInterval(sampling);
const cpu = process.cpuUsage(cpuBefore);
say({
  done: true,
  extraBytes: Math.max(highest, process.resourceUsage().maxRSS * 1024) - before,
  seconds: (performance.now() - began) / 1000,
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
});
store.close();
