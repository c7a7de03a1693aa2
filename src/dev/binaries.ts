import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';
import { FleetError } from '../fleet/errors.js';

/** This folder is `src/dev` or `dist/dev`, so the project is two above in both. */
const PROJECT = path.resolve(import.meta.dirname, '../..');

/** `temporal-test-server` is for tests: `scripts/toolchain --with-test-server` installs it. */
type Binary = 'temporal' | 'temporal-test-server' | 'consul' | 'redis-server';

/**
 * A server's binary: what its variable names (REDIS_FLEET_BIN_TEMPORAL, …), else on PATH, else what
 * `scripts/toolchain` put into the project.
 * @throws NotFound
 */
export function findBinary(name: Binary, env: NodeJS.ProcessEnv): string {
  const variable = `REDIS_FLEET_BIN_${name.toUpperCase().replaceAll('-', '_')}`;
  const named = env[variable];
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return named;
    throw new FleetError('NotFound', `${variable} is "${named}", which is no program that can be run.`);
  }
  const folders = [...(env['PATH'] ?? '').split(path.delimiter), path.join(PROJECT, '.tools/bin')];
  const found = folders.map((folder) => path.join(folder, name)).find(isExecutable);
  if (found !== undefined) return found;
  throw new FleetError(
    'NotFound',
    `${name} is not on PATH, and ${variable} is not set. Run scripts/toolchain, which installs it into the project.`,
  );
}

/** Where `redis-fleet` is. */
export const PROGRAMS = path.join(PROJECT, 'bin');

/** How `redis-fleet` itself is run as a child. @throws NotFound when the project is not built */
export function ownCommand(): readonly [string, string] {
  const main = path.join(PROJECT, 'dist/cli/main.js');
  if (existsSync(main)) return [process.execPath, main];
  throw new FleetError('NotFound', `${main} does not exist: the project is not built. Run scripts/build.`);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
