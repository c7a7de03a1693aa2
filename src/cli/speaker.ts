/** Who speaks: every decision about a runbook is kept with a name. */

import type { CliContext } from './context.js';
import { UsageError } from './failures.js';

/** @throws InvalidRequest when nobody can be named */
export function speaker({ env }: CliContext, by: string | undefined): string {
  const name = by ?? env['USER'] ?? env['LOGNAME'] ?? '';
  if (name.trim() !== '') return name;
  throw new UsageError('Nobody is named: give --by NAME, since USER is not set. Nothing was done.');
}
