/** Whom backups are encrypted for, and whether they can be verified where they are made. */

import { FleetError } from '../fleet/errors.js';
import type { BackupSettings } from '../fleet/fleet.js';
import type { Keyring } from './keyring.js';

export function recipientsOf({ encryption }: BackupSettings, { recipients }: Keyring): Keyring['recipients'] {
  return encryption === 'off' ? [] : recipients;
}

/** A backup that nobody here can read cannot be verified here. Found out before anything forks. */
export function requireReadable(host: string, settings: BackupSettings, keyring: Keyring): void {
  const recipients = recipientsOf(settings, keyring);
  if (settings.encryption === 'required' && recipients.length === 0) {
    throw new FleetError(
      'WrongCredentials',
      `backups.encryption is required, and the agent of ${host} has no recipients. Nothing was backed up. Give it ` +
        'REDIS_FLEET_BACKUP_RECIPIENTS_FILE (age-keygen makes keys), and start it again.',
    );
  }
  const readable = recipients.some(({ id }) => keyring.identities.some((identity) => identity.id === id));
  if (recipients.length > 0 && !readable) {
    throw new FleetError(
      'WrongCredentials',
      `The agent of ${host} would encrypt backups for ${recipients.map(({ id }) => id).join(', ')}, and holds the identity of ` +
        'none of them: it could not verify what it stored. Nothing was backed up. Give it REDIS_FLEET_BACKUP_IDENTITIES_FILE ' +
        'with one of them, and start it again.',
    );
  }
}
