import { spawn } from 'node:child_process';
import process from 'node:process';
import type { Endpoint } from '../../src/fleet/record.js';
import { redisServerProgram } from '../../src/host/settings.js';
import type { TestFleet } from '../../src/testbed/fleet.js';
import { filesOf } from './bringUpStage.js';

/** As somebody does at 3 a.m.: with the configuration that lies in the directory, and settings of their own. */
export function startByHand(
  fleet: TestFleet,
  database: string,
  endpoint: Endpoint,
  settings: readonly string[] = [],
): void {
  const { directory, configuration } = filesOf(fleet, database, endpoint);
  const program = redisServerProgram(process.env);
  const options = { cwd: directory, detached: true, stdio: 'ignore' } as const;
  spawn(program, [configuration, ...settings], options).unref();
}
