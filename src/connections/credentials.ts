import { readFileSync, statSync } from 'node:fs';
import { FleetError, messageOf } from '../fleet/errors.js';
import { rememberSecret } from './redaction.js';

export const CREDENTIALS_VARIABLE = 'REDIS_FLEET_CREDENTIALS';

/** The passwords of a fleet's three Redis users. */
export interface Credentials {
  readonly administrator: string;
  readonly replication: string;
  readonly application: string;
}

const EXAMPLE = '{"administrator":"…","replication":"…","application":"…"}';

/**
 * Reads the file that REDIS_FLEET_CREDENTIALS names. Passwords never stand in the environment or in arguments,
 * where every user of the machine can read them.
 * @throws WrongCredentials (no file named, unreadable, or open to everybody), InvalidRequest (not what it must be)
 */
export function readCredentials(env: NodeJS.ProcessEnv): Credentials {
  const path = env[CREDENTIALS_VARIABLE];
  if (path === undefined || path === '') {
    throw new FleetError(
      'WrongCredentials',
      `${CREDENTIALS_VARIABLE} is not set. It names a JSON file, readable only by its owner, with the passwords ` +
        `of Redis's users: ${EXAMPLE}. Write it, chmod 600 it, and export ${CREDENTIALS_VARIABLE}=/path/to/it.`,
    );
  }
  return parseCredentials(path, readPrivateFile(path));
}

function readPrivateFile(path: string): string {
  try {
    const mode = statSync(path).mode;
    if ((mode & 0o007) !== 0) {
      throw new FleetError(
        'WrongCredentials',
        `${path} (${CREDENTIALS_VARIABLE}) holds passwords and is open to every user of this machine ` +
          `(mode ${(mode & 0o777).toString(8)}). It was not read. Run: chmod 600 ${path}`,
      );
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError(
      'WrongCredentials',
      `The credentials file ${path} (${CREDENTIALS_VARIABLE}) cannot be read: ${messageOf(error)}. ` +
        `Check the path and its owner.`,
    );
  }
}

function parseCredentials(path: string, text: string): Credentials {
  const invalid = (what: string): FleetError =>
    new FleetError(
      'InvalidRequest',
      `The credentials file ${path} (${CREDENTIALS_VARIABLE}) ${what}. It must be ${EXAMPLE}`,
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which holds passwords.
    throw invalid('is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null) throw invalid('is not a JSON object');
  const fields: Partial<Record<string, unknown>> = { ...parsed };
  const password = (field: keyof Credentials): string => {
    const value = fields[field];
    if (typeof value !== 'string' || value === '') throw invalid(`has no password for "${field}"`);
    // One line of redis.conf holds it.
    if (/[\0-\x1f\x7f]/.test(value)) throw invalid(`has control characters in the password for "${field}"`);
    return value;
  };
  const credentials: Credentials = {
    administrator: password('administrator'),
    replication: password('replication'),
    application: password('application'),
  };
  Object.values(credentials).forEach(rememberSecret);
  return credentials;
}
