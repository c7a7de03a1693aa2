/** The fleet file that REDIS_FLEET_FILE or `--file` names. */

import { readFile } from 'node:fs/promises';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { Fleet } from '../fleet/fleet.js';

const DEFAULT_FILE = 'fleet.yaml';

/**
 * @param file as given with `--file`; default REDIS_FLEET_FILE, else fleet.yaml in the working directory
 * @throws FleetError InvalidFleetFile
 */
export async function readFleetFile(env: NodeJS.ProcessEnv, file?: string): Promise<Fleet> {
  const name = file ?? env['REDIS_FLEET_FILE'] ?? DEFAULT_FILE;
  let text: string;
  try {
    text = await readFile(name, 'utf8');
  } catch (error) {
    throw new FleetError(
      'InvalidFleetFile',
      `The fleet file ${name} cannot be read (${messageOf(error)}). Name it with --file or REDIS_FLEET_FILE.`,
      { cause: error },
    );
  }
  // YAML and its schema are heavy: only who reads a file pays for them.
  const { parseFleetFile } = await import('../fleet/fleetFile.js');
  return parseFleetFile(text, name);
}
