import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FleetError } from '../fleet/errors.js';
import { identify, isAlive, parseIdentity, showIdentity } from './processIdentity.js';

/**
 * One `redis-fleet dev` per data directory. Returns what lets go of it.
 * @throws InvalidRequest when a live one has it
 */
export function lockDataDirectory(data: string): () => void {
  const self = identify(process.pid);
  if (self === null)
    throw new FleetError('InvalidRequest', '`redis-fleet dev` needs Linux: there is no /proc here.');
  const lock = path.join(data, 'dev.lock');
  const draft = `${lock}.${process.pid}`;
  writeFileSync(draft, showIdentity(self));
  try {
    while (!linked(draft, lock)) {
      const holder = parseIdentity(readText(lock));
      if (holder !== null && isAlive(holder)) {
        throw new FleetError(
          'InvalidRequest',
          `\`redis-fleet dev\` runs on ${data} already (process ${holder.pid}), and goes on running. Nothing was ` +
            `started. Stop it with: kill ${holder.pid}, or give this one a directory of its own with --data DIR.`,
        );
      }
      rmSync(lock, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return () => rmSync(lock, { force: true });
}

/** A link appears with its content or not at all, so that nobody reads half a lock. */
function linked(draft: string, lock: string): boolean {
  try {
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
