/** Restores a backup for real, into a process for once, and looks at what came of it. */

import type { Redis } from 'ioredis';
import type { BackupAccess } from '../backups/access.js';
import { inventory } from '../backups/inventory.js';
import { DamagedBackup, restoreFile } from '../backups/restoreFile.js';
import { readSample, sampleDigest } from '../backups/sample.js';
import type { BackupStore } from '../backups/store/store.js';
import { newestVerified, type BackupInStore } from '../fleet/backup.js';
import type { BackupManifest } from '../fleet/backupManifest.js';
import { FleetError } from '../fleet/errors.js';
import type { SampledKey } from '../fleet/rdbSample.js';
import { spendable } from '../fleet/headroom.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import { showSize } from '../fleet/quantities.js';
import type { DrillHostActivities, DrillOutcome } from '../activities/drillContract.js';
import { keysOfProof, noteVerdict } from './fetchedBackups.js';
import { hostMemory } from './hostMemory.js';
import type { RedisProcesses } from './processes.js';
import { makeScratchFolder, scratch, type Scratch } from './scratch.js';
import type { HostSettings } from './settings.js';

export interface DrillDependencies {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly access: BackupAccess;
}

type Input = Parameters<DrillHostActivities['drillHere']>[0];

/** Keys that are read in full. */
const SAMPLE = 200;

export async function drill(
  { settings, processes, access }: DrillDependencies,
  { store: url, fleet, database, needs }: Input,
  signal: AbortSignal | undefined,
): Promise<DrillOutcome> {
  const place = scratch(settings);
  await place.remove();
  const memory = await hostMemory(settings, await processes.list());
  if (spendable(memory) < needs) {
    const why = `${settings.host} can give ${showSize(spendable(memory))} of memory, and a drill of ${database} needs ${showSize(needs)}`;
    return { how: 'left', database, why };
  }
  return access.withStore(url, async (store): Promise<DrillOutcome> => {
    const { backups } = await inventory(store, fleet, database);
    const backup = newestVerified(backups, database);
    if (backup === null) return { how: 'left', database, why: `${database} has no verified backup` };
    try {
      const found = await tryOut(store, backup, place, access, signal);
      const { host } = settings;
      return { how: 'drilled', database, host, backup: backup.id, takenAt: backup.takenAt, ...found };
    } finally {
      await place.remove();
    }
  });
}

type Found = Pick<
  Extract<DrillOutcome, { how: 'drilled' }>,
  'at' | 'passed' | 'why' | 'bytes' | 'keys' | 'sampled' | 'seconds'
>;

async function tryOut(
  store: BackupStore,
  { fleet, database, id }: BackupInStore,
  place: Scratch,
  access: BackupAccess,
  signal: AbortSignal | undefined,
): Promise<Found> {
  const ref = { fleet, database, id };
  const began = performance.now();
  const end = (found: Pick<Found, 'why' | 'bytes' | 'keys' | 'sampled'>): Found => ({
    at: new Date().toISOString(),
    passed: found.why === null,
    seconds: Math.round(performance.now() - began) / 1000,
    ...found,
  });
  await makeScratchFolder(place);
  let manifest: BackupManifest;
  try {
    const keyring = await access.keyring();
    const options = { keyring, ...(signal === undefined ? {} : { signal }) };
    manifest = await restoreFile(store, ref, place.dataFile, options);
  } catch (error) {
    if (!(error instanceof DamagedBackup)) throw error;
    await noteVerdict(store, ref, error.damage);
    return end({ why: error.message, bytes: 0, keys: null, sampled: 0 });
  }
  const { bytes } = manifest.plain;
  let redis: Redis;
  try {
    redis = await place.start(signal);
  } catch (error) {
    if (!(error instanceof FleetError) || error.kind !== 'BadDataFile') throw error;
    return end({ why: error.message, bytes, keys: null, sampled: 0 });
  }
  const loaded = end({ why: null, bytes, keys: null, sampled: 0 });
  const { keys, position } = parseProcessFacts(await redis.info());
  const sample = await compareSample(redis, place.dataFile, manifest.sample);
  const others = await readAtRandom(redis, keys);
  const why =
    wrongKeys(keys, await keysOfProof(store, ref)) ??
    wrongPosition(position, manifest.position) ??
    sample.trouble ??
    others.trouble;
  return { ...loaded, passed: why === null, why, keys, sampled: sample.read + others.read };
}

function wrongKeys(keys: number, expected: number | null): string | null {
  return expected === null || keys === expected
    ? null
    : `It has ${keys} keys when it is loaded, and had ${expected} when it was verified.`;
}

function wrongPosition(
  is: { readonly id: string; readonly offset: number },
  expected: BackupManifest['position'],
): string | null {
  if (expected === null || (is.id === expected.id && is.offset === expected.offset)) return null;
  return `It stands at offset ${is.offset} of ${is.id.slice(0, 8)}… when it is loaded, and its manifest says ${expected.offset} of ${expected.id.slice(0, 8)}….`;
}

/** Reads from the process what the manifest has a checksum of. The file itself says which keys those are. */
async function compareSample(
  redis: Redis,
  file: string,
  expected: BackupManifest['sample'],
): Promise<{ readonly read: number; readonly trouble: string | null }> {
  if (expected === null) return { read: 0, trouble: null };
  const loaded: SampledKey[] = [];
  for (const { key } of await readSample(file)) {
    const value = await redis.getBuffer(Buffer.from(key, 'latin1'));
    if (value !== null) loaded.push({ key, value: value.toString('latin1') });
  }
  const same = loaded.length === expected.keys && sampleDigest(loaded) === expected.sha256;
  const read = loaded.length;
  if (same) return { read, trouble: null };
  return {
    read,
    trouble: `Of ${String(expected.keys)} keys that its manifest has a checksum of, ${String(read)} are there when it is loaded, or they hold other values.`,
  };
}

/** Keys by chance, each with its whole value. */
async function readAtRandom(
  redis: Redis,
  keys: number,
): Promise<{ readonly read: number; readonly trouble: string | null }> {
  let read = 0;
  for (let turn = 0; turn < Math.min(SAMPLE, keys); turn++) {
    const key = (await redis.callBuffer('RANDOMKEY')) as Buffer | null;
    if (key === null) break;
    const value = (await redis.dumpBuffer(key)) as Buffer | null;
    if (value === null) {
      // A follower shows nothing of what has expired.
      if ((await redis.exists(key)) === 0) continue;
      return { read, trouble: `One of its keys, a ${await redis.type(key)}, has no value that can be read.` };
    }
    read += 1;
  }
  return { read, trouble: null };
}
