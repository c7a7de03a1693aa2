import { FleetError, messageOf } from '../fleet/errors.js';

const FULL = new Set(['ENOSPC', 'EDQUOT']);

export function errorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT';
}

/** A full disk in our words; every other error as it is. `kept` is a sentence about what is still safe. */
export function asDiskError(error: unknown, path: string, what: string, kept: string): unknown {
  const code = errorCode(error);
  if (code !== null && FULL.has(code)) {
    return new FleetError(
      'DiskFull',
      `The disk is full (${code}): could not ${what} at ${path}. ${kept} ` +
        `Make room there (df -h ${path}), then retry.`,
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new FleetError(
      'InvalidRequest',
      `The agent may not ${what} at ${path} (${code}: ${messageOf(error)}). ${kept} ` +
        `Give the agent's user the right to it, then retry.`,
    );
  }
  return error;
}
