/** Writes what a process starts from: its configuration, its users and what it is. */

import { createHash } from 'node:crypto';
import { redisConfiguration, usersFile } from '../fleet/redisConfig.js';
import { writePrivateFile, type ProcessDescription, type ProcessFiles } from './layout.js';
import type { HostSettings } from './settings.js';

/** @throws DiskFull */
export async function writeConfiguration(
  settings: HostSettings,
  files: ProcessFiles,
  description: ProcessDescription,
): Promise<void> {
  const { administrator, replication, application } = settings.credentials;
  const configuration = redisConfiguration({
    process: description.process,
    address: description.address,
    files,
    replicationPassword: replication,
  });
  const users = usersFile({
    administrator: sha256(administrator),
    replication: sha256(replication),
    application: sha256(application),
  });
  await writePrivateFile(files.configuration, configuration);
  await writePrivateFile(files.users, users);
  await writePrivateFile(files.description, `${JSON.stringify(description, null, 2)}\n`);
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
