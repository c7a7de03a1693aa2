/** Who speaks: every decision about a runbook is kept with a name. */

import { userInfo } from 'node:os';
import type { CliContext } from './context.js';
import { UsageError } from './failures.js';

/** @throws InvalidRequest when nobody can be named */
export function speaker({ env }: CliContext, by: string | undefined): string {
  const name = by ?? env['USER'] ?? env['LOGNAME'] ?? systemName();
  if (name.trim() !== '') return name;
  throw new UsageError(
    'Nobody is named: give --by NAME, since this system knows no name for you. Nothing was done.',
  );
}

/** Containers and services run without USER, and sometimes as a user that has no name. */
function systemName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
