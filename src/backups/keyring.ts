/**
 * Keys for the encryption of backups, in the format of age (age-keygen makes them). Writing needs recipients only, which
 * are no secrets; reading needs an identity. To rotate: add the new recipient and its identity, write a while for both
 * or for the new one only, and keep the old identity as long as there are backups for it.
 */

import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { Encrypter, identityToRecipient } from 'age-encryption';
import { FleetError, messageOf } from '../fleet/errors.js';
import { rememberSecret } from '../connections/redaction.js';

/** Public keys (age1…), one for each who shall be able to read; none: backups are not encrypted. */
export const RECIPIENTS_VARIABLE = 'REDIS_FLEET_BACKUP_RECIPIENTS';
/** Secret keys (AGE-SECRET-KEY-…). */
export const IDENTITIES_VARIABLE = 'REDIS_FLEET_BACKUP_IDENTITIES';

export interface Keyring {
  /** Whom new backups are encrypted for. */
  readonly recipients: readonly Recipient[];
  /** What backups can be read with. */
  readonly identities: readonly Identity[];
}

export interface Recipient {
  /** Short, and no secret: it stands in manifests. */
  readonly id: string;
  readonly recipient: string;
}

export interface Identity {
  readonly id: string;
  readonly identity: string;
}

export const NO_KEYS: Keyring = { recipients: [], identities: [] };

/**
 * Each variable holds keys, separated by white space or commas; or the variable named like it with _FILE names a file of
 * them, as age-keygen writes it. A file of identities must be closed to others.
 * @throws WrongCredentials (unreadable, or open to everybody), InvalidRequest (no key of age)
 */
export async function readKeyring(env: NodeJS.ProcessEnv): Promise<Keyring> {
  const recipients = wordsOf(env, RECIPIENTS_VARIABLE, false);
  const identities = wordsOf(env, IDENTITIES_VARIABLE, true);
  identities.words.forEach(rememberSecret);
  return {
    recipients: recipients.words.map((recipient) => {
      try {
        new Encrypter().addRecipient(recipient);
        return { id: keyId(recipient), recipient };
      } catch {
        throw noKey(recipients.source, 'recipient, which begins with age1');
      }
    }),
    identities: await Promise.all(
      identities.words.map(async (identity) => {
        try {
          return { id: keyId(await identityToRecipient(identity)), identity };
        } catch {
          // Without the cause: its message may quote the key.
          throw noKey(identities.source, 'identity, which begins with AGE-SECRET-KEY-');
        }
      }),
    ),
  };
}

/** Of a public key. */
export function keyId(recipient: string): string {
  return createHash('sha256').update(recipient).digest('hex').slice(0, 16);
}

interface Words {
  readonly words: readonly string[];
  /** For messages. */
  readonly source: string;
}

function wordsOf(env: NodeJS.ProcessEnv, variable: string, secret: boolean): Words {
  const file = env[`${variable}_FILE`] ?? '';
  const text = env[variable] ?? '';
  if (file !== '' && text !== '') {
    throw new FleetError(
      'InvalidRequest',
      `${variable} and ${variable}_FILE are both set, and only one of them can count. No backup was written or read. ` +
        'Unset one of them.',
    );
  }
  const source = file === '' ? variable : `${file} (${variable}_FILE)`;
  return {
    source,
    words: (file === '' ? text : readKeyFile(file, variable, secret))
      .split('\n')
      .filter((line) => !line.trimStart().startsWith('#'))
      .flatMap((line) => line.split(/[\s,]+/))
      .filter((word) => word !== ''),
  };
}

function readKeyFile(file: string, variable: string, secret: boolean): string {
  let mode: number;
  let text: string;
  try {
    mode = statSync(file).mode;
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new FleetError(
      'WrongCredentials',
      `The keys for backups in ${file} (${variable}_FILE) cannot be read: ${messageOf(error)}. No backup was written or ` +
        'read. Check the path and its owner.',
    );
  }
  if (secret && (mode & 0o007) !== 0) {
    throw new FleetError(
      'WrongCredentials',
      `${file} (${variable}_FILE) holds secret keys and is open to every user of this machine ` +
        `(mode ${(mode & 0o777).toString(8)}). It was not used. Run: chmod 600 ${file}`,
    );
  }
  return text;
}

function noKey(source: string, what: string): FleetError {
  return new FleetError(
    'InvalidRequest',
    `${source} holds something that is no ${what}. No backup was written or read. Make keys with age-keygen.`,
  );
}
