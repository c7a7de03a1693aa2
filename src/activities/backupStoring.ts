/** From a saved file to a verified backup: stored, read back, recorded, and what expired removed. */

import { recipientsOf } from '../backups/readable.js';
import type { Keyring } from '../backups/keyring.js';
import type { BackupStore } from '../backups/store/store.js';
import { withoutSecrets } from '../connections/redaction.js';
import type { BackupManifest } from '../fleet/backupManifest.js';
import { verdictText, type SoundBackup } from '../fleet/backupVerdict.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { BackupSettings } from '../fleet/fleet.js';
import type { BackupSave } from '../host/backupState.js';
import type { ProcessFiles } from '../host/layout.js';
import type { RedisProcesses } from '../host/processes.js';
import type { HostSettings } from '../host/settings.js';
import type { BackupRecordStore } from '../records/backups.js';
import type { BackupStage, VerifiedBackup } from './backupContract.js';
import { callingWorkflow } from './owner.js';

export interface BackupStoringDependencies {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly fleetName: string;
  readonly backups: BackupRecordStore;
  /** The program. */
  readonly redisCheckRdb: string;
}

/** A stronger one takes a core for long, and gains little: Redis compresses long values itself. */
const COMPRESSION_LEVEL = 3;
/** Longer than an attempt may take: nobody is at work on what is older. */
const LEFTOVER_AFTER_MS = 6 * 3_600_000;

export interface Job {
  readonly database: string;
  /** ISO 8601: what is not older will do. */
  readonly since: string;
  readonly files: ProcessFiles;
  readonly settings: BackupSettings;
  readonly keyring: Keyring;
  readonly store: BackupStore;
  readonly tell: (stage: BackupStage['stage'], done?: number, total?: number) => void;
  readonly signal: AbortSignal;
}

export function backupStoring({
  settings,
  processes,
  fleetName,
  backups,
  redisCheckRdb,
}: BackupStoringDependencies) {
  const { host } = settings;

  async function stored(
    job: Job,
    save: BackupSave,
  ): Promise<{ manifest: BackupManifest; sound: SoundBackup }> {
    const { database, files, settings: wanted, keyring, store, tell, signal } = job;
    const [{ storeBackup }, { recordVerdict, verifyBackup }] = await Promise.all([
      import('../backups/storeBackup.js'),
      import('../backups/verifyBackup.js'),
    ]);
    const ref = { fleet: fleetName, database, id: save.id };
    const port = (await processes.find(database))?.endpoint.port ?? 0;
    const { manifest } = await storeBackup(
      store,
      {
        ...ref,
        file: files.backupData,
        epoch: save.epoch,
        times: { started: save.started, taken: save.taken, saved: save.saved ?? save.taken },
        from: { host, port },
      },
      {
        compression: wanted.compression === 'off' ? null : { level: COMPRESSION_LEVEL },
        recipients: recipientsOf(wanted, keyring),
        bytesPerSecond: wanted.rate,
      },
      { signal, onProgress: ({ readBytes, totalBytes }) => tell('storing', readBytes, totalBytes) },
    );
    const verdict = await verifyBackup(store, ref, {
      keyring,
      signal,
      redisCheckRdb,
      onProgress: (done, total) => tell('verifying', done, total),
    });
    signal.throwIfAborted();
    await recordVerdict(store, ref, verdict, new Date().toISOString());
    if (verdict.kind === 'sound') return { manifest, sound: verdict };
    throw new FleetError(
      verdict.kind === 'wrong key' ? 'WrongCredentials' : 'BadDataFile',
      `${verdictText(ref, verdict)} It does not count; the next backup is taken anew.`,
    );
  }

  async function recorded(
    { database, store }: Job,
    save: BackupSave,
    { manifest, sound }: { readonly manifest: BackupManifest; readonly sound: SoundBackup },
  ): Promise<Omit<VerifiedBackup, 'expired' | 'untidy'>> {
    const { operation } = callingWorkflow('routine');
    await backups.advance({
      database,
      id: save.id,
      at: manifest.times.taken,
      verifiedAt: new Date().toISOString(),
      epoch: manifest.epoch,
      position: manifest.position,
      key: manifest.stored.key,
      sha256: manifest.stored.sha256,
      storedBytes: manifest.stored.bytes,
      plainBytes: manifest.plain.bytes,
      keys: sound.keys,
      store: store.name,
      host,
      by: operation.workflowId,
    });
    return {
      how: 'verified',
      database,
      id: save.id,
      at: manifest.times.taken,
      host,
      keys: sound.keys,
      plainBytes: manifest.plain.bytes,
      storedBytes: manifest.stored.bytes,
      already: false,
    };
  }

  /** Its failure does not make a verified backup less so. */
  async function tidied({ database, settings: wanted, store }: Job) {
    try {
      const [{ removeExpired }, { sweepLeftovers }] = await Promise.all([
        import('../backups/expire.js'),
        import('../backups/inventory.js'),
      ]);
      const expired = await removeExpired(store, fleetName, database, wanted.keep);
      const ages = { olderThanMs: LEFTOVER_AFTER_MS, now: Date.now() };
      await sweepLeftovers(store, fleetName, database, ages);
      return { expired, untidy: null };
    } catch (error) {
      return { expired: 0, untidy: withoutSecrets(messageOf(error)) };
    }
  }

  return {
    /** @throws as `backupHere` */
    async store(job: Job, save: BackupSave): Promise<VerifiedBackup> {
      const verified = await recorded(job, save, await stored(job, save));
      return { ...verified, ...(await tidied(job)) };
    },
  };
}
